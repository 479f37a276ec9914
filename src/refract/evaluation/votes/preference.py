"""What raters preferred, with Wilson intervals, and how far they agree (Krippendorff's alpha).

Raters who fail the checks, pairs of equal clips, can be left out.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from refract.evaluation.measures.metrics_file import Tree, put
from refract.evaluation.votes.study_key import QUESTIONS, MethodPair, StudyKey
from refract.evaluation.votes.votes import Vote


def nominal_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha, 1 - D_o / D_e; 1 is full agreement, 0 what chance gives.

    D_o: how often two values of one unit differ, D_e: of all values whatever their unit, each
    without repetition (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, C). Raters
    may be missing; a unit with fewer than two values says nothing and is left out.

    Args:
        units: for each thing rated the values it was given, in any order.
    Returns None where it is undefined: nothing to pair, or all values alike.
    """
    rated = [Counter(values) for values in units if len(values) > 1]
    totals = sum(rated, Counter[Hashable]())
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    if expected == 0:
        return None
    observed = 0.0
    for counts in rated:
        m = counts.total()
        observed += (m * m - sum(count * count for count in counts.values())) / (m - 1)
    return 1 - (n - 1) * observed / expected


ABOUT = (
    "share of the answers that prefer the first method, no difference counted half; Wilson 95% "
    "interval over answers; agreement: Krippendorff's alpha over pairs"
)


@dataclass(frozen=True)
class Preference:
    """The answers to one question on one comparison.

    wins, losses: answers for the first and the second method. ties: `no difference`.
    raters, cases: how many there were; answers of one rater or on one case are not independent.
    agreement: None where it is undefined.
    """

    wins: int
    losses: int
    ties: int
    raters: int
    cases: int
    agreement: float | None

    @property
    def count(self) -> int:
        return self.wins + self.losses + self.ties

    @property
    def rate(self) -> float:
        """Share that prefers the first method; a tie is half an answer for each."""
        return (self.wins + self.ties / 2) / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of `rate` over `count` answers.

        A tie varies less than the coin it stands for, so with many ties it is too wide; with few
        raters or cases, whose answers go together, too narrow.
        """
        from statsmodels.stats.proportion import proportion_confint  # slow to import

        low, high = proportion_confint(self.wins + self.ties / 2, self.count, method="wilson")
        return float(low), float(high)


def failed_raters(votes: Sequence[Vote], key: StudyKey, allowed_wrong: int = 0) -> list[str]:
    """Raters who saw a difference between equal clips more than `allowed_wrong` times."""
    wrong: dict[str, int] = defaultdict(int)
    for vote in votes:
        wrong[vote.rater] += key.pairs[vote.pair].check and vote.chosen is not None
    return sorted(rater for rater, count in wrong.items() if count > allowed_wrong)


def preferences(
    votes: Sequence[Vote], key: StudyKey, *, without: Collection[str] = ()
) -> dict[tuple[str, MethodPair], Preference]:
    """(question, comparison) -> what was preferred, where there was an answer; checks left out."""
    groups: dict[tuple[str, MethodPair], list[Vote]] = defaultdict(list)
    for vote in votes:
        if not key.pairs[vote.pair].check and vote.rater not in without:
            groups[vote.question, key.comparison_of(vote.pair)].append(vote)
    order = [(question, methods) for question in QUESTIONS for methods in key.comparisons()]
    return {place: _summarise(groups[place], key, place[1]) for place in order if place in groups}


def _summarise(votes: Sequence[Vote], key: StudyKey, comparison: MethodPair) -> Preference:
    chosen = [None if vote.chosen is None else key.method_of(vote.chosen) for vote in votes]
    by_pair: Mapping[str, list[Hashable]] = defaultdict(list)
    for vote, method in zip(votes, chosen, strict=True):
        by_pair[vote.pair].append(method)
    return Preference(
        wins=chosen.count(comparison.first),
        losses=chosen.count(comparison.second),
        ties=chosen.count(None),
        raters=len({vote.rater for vote in votes}),
        cases=len({key.case_of(vote.pair) for vote in votes}),
        agreement=nominal_alpha(by_pair.values()),
    )


def preference_metrics(
    votes: Sequence[Vote], key: StudyKey, *, exclude_failed: bool = False, allowed_wrong: int = 0
) -> Tree:
    """The `preference` branch of the metrics: <question>.rate, rate_low, rate_high, counts.

    The first two methods of the study stand right below the question; further comparisons below
    `<first>_over_<second>`. Empty where nothing was answered. Names of raters are not in it, for
    metrics are published: see `failed_raters`.
    """
    failed = failed_raters(votes, key, allowed_wrong)
    rated = preferences(votes, key, without=failed if exclude_failed else ())
    if not rated:
        return {}
    main, tree = key.comparisons()[0], Tree()
    for (question, comparison), preference in rated.items():
        below = "" if comparison == main else f".{comparison.first}_over_{comparison.second}"
        _put_preference(tree, question + below, preference)
    checks = any(pair.check for pair in key.pairs.values())
    if checks:
        tree["failed_checks"] = len(failed)
        tree["failed_excluded"] = exclude_failed
    tree["about"] = {"study": key.study, "methods": " over ".join(main), "rate": ABOUT}
    return tree


def _put_preference(tree: Tree, place: str, preference: Preference) -> None:
    low, high = preference.interval
    for name, value in (("rate", preference.rate), ("rate_low", low), ("rate_high", high)):
        put(tree, f"{place}.{name}", value)
    for name in ("count", "wins", "losses", "ties", "raters", "cases"):
        put(tree, f"{place}.{name}", getattr(preference, name))
    if preference.agreement is not None:
        put(tree, f"{place}.agreement", preference.agreement)
