from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import fleiss_kappa

from refract.user_study.agreement import nominal_alpha

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
