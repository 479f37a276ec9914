"""Key figures: a card a metric, with its interval, its items' spread, and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refract.evaluation.measures.bootstrap import Interval, MeanInterval
from refract.evaluation.measures.verdict import verdict_of
from refract.evaluation.variants import SOURCE, curve_strength
from refract.report.metric_facts import MetricFacts, in_order, merit
from refract.report.strip_plot import StripPlot, strip_plot
from refract.report.tables import ItemScores
from refract.report.variants import variant_label

Values = Mapping[str, float]  # item -> value


@dataclass(frozen=True)
class GainVerdict:
    """kind: better, worse or unclear, by `verdict_of`."""

    kind: str
    text: str


@dataclass(frozen=True)
class Card:
    """One metric of one half."""

    facts: MetricFacts
    value: str
    interval: str
    count: int
    plot: StripPlot
    verdicts: list[GainVerdict]


def cards(
    scores: ItemScores,
    result: str,
    rivals: Sequence[str],
    interval: Interval,
    *,
    best_but: Sequence[str] | None = None,
) -> list[Card]:
    """A card for every metric that `result` has, key figures first.

    rivals: variants it is held against in words. best_but: before them, the variant with the best
    mean that is none of these; None for no such one.
    """
    made = []
    for facts in in_order(
        name for name, by_variant in scores.values.items() if result in by_variant
    ):
        shown = _shown(facts, scores.values[facts.key])
        names = [name for name in rivals if name in shown]
        if best_but is not None:
            names = [*_best_variant(facts, shown, (result, *best_but)), *names]
        verdicts = [_verdict(facts, shown[result], shown[name], name, interval) for name in names]
        mean = interval(list(shown[result].values()))
        assert mean is not None  # the table holds finite values only, and the result has some
        plot = strip_plot(facts, shown, result, interval)
        value, ends = facts.text(mean.mean), facts.ends(mean)
        made.append(Card(facts, value, ends, mean.count, plot, [v for v in verdicts if v]))
    return made


def _shown(facts: MetricFacts, variants: Mapping[str, Values]) -> dict[str, Values]:
    """The variants a card shows: no points of the curve, and the source only of the product.

    Held against itself the source is perfect by definition, and would leave the others no room.
    """
    is_product = facts.key.startswith("product.")
    return {
        name: items
        for name, items in variants.items()
        if curve_strength(name) is None and (name != SOURCE or is_product)
    }


def _best_variant(
    facts: MetricFacts, variants: Mapping[str, Values], but: Sequence[str]
) -> list[str]:
    """The variant with the best mean, but for some; none where no other is left."""
    means = {
        name: merit(facts, sum(items.values()) / len(items))
        for name, items in variants.items()
        if name not in but
    }
    return [max(means, key=means.__getitem__)] if means else []


def _verdict(
    facts: MetricFacts, result: Values, rival: Values, name: str, interval: Interval
) -> GainVerdict | None:
    """The mean paired difference over the items both have; None where they share none."""
    shared = [item for item in result if item in rival]
    if facts.better == "one":
        gains = [merit(facts, result[i]) - merit(facts, rival[i]) for i in shared]
    else:
        gains = [result[i] - rival[i] for i in shared]
    mean = interval(gains)
    if mean is None:
        return None
    return GainVerdict(_kind(facts, mean), f"{_gain(facts, mean)} against {_in_sentence(name)}")


def _gain(facts: MetricFacts, gain: MeanInterval) -> str:
    """The difference and its interval in words; where 1 is the aim, how much nearer to it."""
    if facts.better != "one":
        unit = f" {facts.unit}" if facts.unit else ""
        ends = f"[{facts.signed(gain.low)}, {facts.signed(gain.high)}]"
        return f"{facts.signed(gain.mean)}{unit} {ends}"
    way, by = ("nearer to", gain) if gain.mean >= 0 else ("further from", -gain)
    return f"{way} 1 by {facts.text(by.mean)} {facts.ends(by)}"


def _in_sentence(variant: str) -> str:
    """The label within a sentence; a name in capitals keeps them."""
    label = variant_label(variant)
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def _kind(facts: MetricFacts, gain: MeanInterval) -> str:
    found = verdict_of(gain if facts.better == "lower" else -gain)
    known = facts.better != "none" and found in ("better", "worse")
    return found if known else "unclear"
