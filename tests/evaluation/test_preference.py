import json
from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.inter_rater import fleiss_kappa

from refract.evaluation.votes.preference import (
    Preference,
    failed_raters,
    nominal_alpha,
    preference_metrics,
    preferences,
)
from refract.evaluation.votes.study_key import QUESTIONS, MethodPair
from tests.tiny.study import all_votes, make_key, vote

# The computational example of https://en.wikipedia.org/wiki/Krippendorff%27s_alpha, and example C
# of Krippendorff (2011), Computing Krippendorff's Alpha-Reliability; a row a rater, . is missing.
THREE_RATERS = [".....34121133.3", "1.213343.......", "..21344.21133.4"]
FOUR_RATERS = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]


def units(raters: list[str]) -> list[list[str]]:
    return [[value for value in column if value != "."] for column in zip(*raters, strict=True)]


def test_published_examples() -> None:
    assert nominal_alpha(units(THREE_RATERS)) == pytest.approx(0.691, abs=5e-4)
    assert nominal_alpha(units(FOUR_RATERS)) == pytest.approx(0.743, abs=5e-4)


RATINGS = st.integers(2, 5).flatmap(
    lambda raters: st.lists(
        st.lists(st.sampled_from("abn"), min_size=raters, max_size=raters), min_size=2, max_size=8
    )
)


@given(RATINGS)
def test_of_complete_ratings_follows_from_fleiss_kappa(ratings: list[list[str]]) -> None:
    """Both share D_o; the expected disagreement differs by n / (n - 1)."""
    table = np.array([[Counter(unit)[value] for value in "abn"] for unit in ratings])
    assume((table.sum(0) > 0).sum() > 1)
    n = table.sum()
    expected = 1 - (1 - fleiss_kappa(table)) * (n - 1) / n
    assert nominal_alpha(ratings) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.sampled_from("abn"), st.integers(2, 6)), min_size=2, max_size=9))
def test_unanimous_raters_agree_fully(given_units: list[tuple[str, int]]) -> None:
    assume(len({value for value, _ in given_units}) > 1)
    assert nominal_alpha([[value] * raters for value, raters in given_units]) == 1


@given(RATINGS, st.lists(st.sampled_from("abn"), max_size=1))
def test_units_of_one_rater_and_the_order_of_raters_change_nothing(
    ratings: list[list[str]], single: list[str]
) -> None:
    assert nominal_alpha([*ratings, single]) == nominal_alpha([unit[::-1] for unit in ratings])


@pytest.mark.parametrize("nothing", [[], [["a"]], [["a", "a"], ["a", "a"]]])
def test_undefined_without_pairs_or_variation(nothing: list[list[str]]) -> None:
    assert nominal_alpha(nothing) is None


MAIN = MethodPair("new", "old")
COUNTS = st.tuples(*[st.integers(0, 60)] * 3).filter(lambda counts: sum(counts) > 0)


def preference(wins: int, losses: int, ties: int) -> Preference:
    return Preference(wins, losses, ties, 1, 1, None)


@given(st.integers(0, 60), st.integers(1, 60))
def test_interval_is_wilsons(wins: int, losses: int) -> None:
    expected = binomtest(wins, wins + losses).proportion_ci(0.95, method="wilson")
    assert preference(wins, losses, 0).interval == pytest.approx(expected, abs=1e-9)


@given(COUNTS)
def test_interval_solves_wilsons_equation_with_ties_and_stays_a_share(
    counts: tuple[int, int, int],
) -> None:
    """Its ends are the p that lie 1.96 standard errors, their own, from the rate."""
    found = preference(*counts)
    low, high = found.interval
    assert 0 <= low <= found.rate + 1e-12
    assert found.rate - 1e-12 <= high <= 1
    for end in (low, high):
        error = 1.959964 * sqrt(end * (1 - end) / found.count)
        assert abs(found.rate - end) == pytest.approx(error, abs=1e-6)


@given(COUNTS)
def test_swapping_the_methods_mirrors_the_rate(counts: tuple[int, int, int]) -> None:
    wins, losses, ties = counts
    one, other = preference(wins, losses, ties), preference(losses, wins, ties)
    assert other.rate == pytest.approx(1 - one.rate)
    assert other.interval == pytest.approx([1 - end for end in reversed(one.interval)])


CHOICES = st.lists(st.sampled_from(["new", "old", None]), min_size=24, max_size=24)


@given(CHOICES)
def test_counts_do_not_depend_on_the_order_in_the_key_nor_on_that_of_votes(
    choices: list[str | None],
) -> None:
    key, given_choices = make_key(checks=0), iter(choices)
    votes = all_votes(key, "abc", lambda *_: next(given_choices))
    mirrored = key.model_copy(update={"methods": ("old", "new")})
    for question in QUESTIONS:
        one = preferences(votes, key)[question, MAIN]
        other = preferences(votes[::-1], mirrored)[question, MethodPair("old", "new")]
        assert (one.wins, one.losses, one.ties) == (other.losses, other.wins, other.ties)
        assert one.agreement == pytest.approx(other.agreement)
        assert (one.count, one.raters, one.cases) == (12, 3, 4)


def test_metrics_hold_what_was_voted() -> None:
    key = make_key(cases=4, checks=0)

    def choose(rater: str, pair: str, question: str) -> str | None:
        if question == "motion":
            return None if pair == "pair0old" else "old"
        return "old" if pair == "pair3old" else "new"

    tree = preference_metrics(all_votes(key, ["a", "b"], choose), key)
    product, motion = tree["product"], tree["motion"]
    assert product["rate"] == 0.75
    assert (product["wins"], product["losses"], product["ties"]) == (6, 2, 0)
    assert product["agreement"] == motion["agreement"] == 1
    assert motion["rate"] == 0.125  # two ties of eight, half each
    assert motion["rate_low"] < 0.125 < motion["rate_high"]
    assert tree["about"]["methods"] == "new over old"
    assert "failed_checks" not in tree
    json.dumps(tree, allow_nan=False)


def test_of_three_methods_each_two_have_a_rate_of_their_own() -> None:
    key = make_key(cases=2, methods=("new", "old", "older"), checks=0)
    tree = preference_metrics(all_votes(key, ["a"], lambda *_: "new"), key)
    assert tree["product"]["count"] == tree["product"]["new_over_older"]["count"] == 2
    assert "agreement" not in tree["product"]  # one rater


def test_who_sees_a_difference_between_equal_clips_is_named_and_left_out_on_demand() -> None:
    key = make_key(cases=2, checks=2)
    votes = all_votes(
        key, ["careful", "hasty"], lambda rater, *_: None if rater == "careful" else "new"
    )
    assert failed_raters(votes, key) == ["hasty"]
    assert failed_raters(votes, key, allowed_wrong=4) == []
    kept = preference_metrics(votes, key)
    assert (kept["product"]["rate"], kept["product"]["count"]) == (0.75, 4)
    assert (kept["failed_checks"], kept["failed_excluded"]) == (1, False)
    clean = preference_metrics(votes, key, exclude_failed=True)
    assert (clean["product"]["rate"], clean["product"]["count"]) == (0.5, 2)
    assert "hasty" not in json.dumps(kept)


def test_no_answers_give_no_metrics() -> None:
    key = make_key()
    assert preference_metrics([], key) == {}
    assert preference_metrics([vote(key, "a", "check0", "product", None)], key) == {}
