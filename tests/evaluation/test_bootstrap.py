import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm

from refract.evaluation.measures.bootstrap import (
    Resampling,
    crossed_interval,
    mean_interval,
    pooled_interval,
)


def test_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(20, 2, 48)
    ours = mean_interval(values.tolist(), Resampling(500, 3))
    theirs = bootstrap(
        (values,), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert ours is not None
    assert (ours.low, ours.high) == (theirs.low, theirs.high)


def test_interval_is_that_of_a_percentile_bootstrap_written_out() -> None:
    values = np.random.default_rng(1).gamma(2, size=60)
    rng = np.random.default_rng(9)
    means = values[rng.integers(0, 60, (20_000, 60))].mean(1)
    ours = mean_interval(values.tolist(), Resampling(20_000, 1))
    assert ours is not None
    low, high = np.percentile(means, [2.5, 97.5])
    assert ours.low == pytest.approx(low, abs=0.01)
    assert ours.high == pytest.approx(high, abs=0.01)


def test_width_is_near_the_normal_theory() -> None:
    values = np.random.default_rng(2).normal(0, 1, 400)
    ours = mean_interval(values.tolist(), Resampling(4000, 0))
    assert ours is not None
    expected = 2 * norm.ppf(0.975) * values.std() / 20
    assert ours.high - ours.low == pytest.approx(expected, rel=0.08)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12))
def test_mean_lies_inside_and_the_seed_repeats(values: list[float]) -> None:
    first = mean_interval(values, Resampling(100, 5))
    assert first is not None
    slack = 1e-9 * max(1, abs(first.mean))
    assert first.low - slack <= first.mean <= first.high + slack
    assert first == mean_interval(values, Resampling(100, 5))
    assert first.count == len(values)


def test_values_that_are_missing_do_not_count() -> None:
    with_gap = mean_interval([1.0, float("nan"), 3.0], Resampling(100, 0))
    assert with_gap == mean_interval([1.0, 3.0], Resampling(100, 0))
    assert mean_interval([float("nan")], Resampling(100, 0)) is None
    assert mean_interval([], Resampling(100, 0)) is None


def test_a_ratio_of_sums_has_the_interval_of_a_paired_bootstrap() -> None:
    rng = np.random.default_rng(4)
    wholes = rng.integers(0, 9, 40).astype(float)
    parts = rng.binomial(wholes.astype(int), 0.7).astype(float)
    found = pooled_interval(parts[:, None], wholes[:, None], Resampling(20_000, 1))
    assert found is not None and found.count == (wholes > 0).sum() < 40
    assert found.mean == pytest.approx(parts.sum() / wholes.sum())
    theirs = bootstrap(
        (parts[wholes > 0], wholes[wholes > 0]),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert pooled_interval(np.zeros((3, 1)), np.zeros((3, 1)), Resampling(100)) is None


def test_of_one_seed_the_interval_is_that_over_items() -> None:
    values = np.random.default_rng(0).normal(20, 2, 30)
    for grid in (values[None], np.stack([np.full(30, np.nan), values])):
        assert crossed_interval(grid, Resampling(500, 3)) == mean_interval(
            values.tolist(), Resampling(500, 3)
        )
    assert crossed_interval(np.full((2, 3), np.nan), Resampling(500, 0)) is None


def test_seeds_that_agree_leave_the_interval_of_the_items() -> None:
    values = np.random.default_rng(1).normal(0, 1, 200)
    crossed = crossed_interval(np.tile(values, (3, 1)), Resampling(4000, 0))
    alone = mean_interval(values.tolist(), Resampling(4000, 0))
    assert crossed is not None and alone is not None
    assert crossed.mean == pytest.approx(alone.mean) and crossed.count == 200
    assert crossed.high - crossed.low == pytest.approx(alone.high - alone.low, rel=0.1)


def test_both_spreads_add_up_as_variances() -> None:
    """Of many seeds and items; seeds alone, items alone and both, by the normal theory."""
    rng = np.random.default_rng(2)
    seeds, items = rng.normal(0, 3, (60, 1)), rng.normal(0, 4, (1, 80))
    error = np.hypot(seeds.std() / 60**0.5, items.std() / 80**0.5)
    found = crossed_interval(seeds + items, Resampling(6000, 0))
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * norm.ppf(0.975) * error, rel=0.08)
    still = crossed_interval(seeds + 0 * items, Resampling(6000, 0))
    assert still is not None
    width = 2 * norm.ppf(0.975) * seeds.std() / 60**0.5
    assert still.high - still.low == pytest.approx(width, rel=0.08)


def test_missing_values_are_left_out() -> None:
    values = np.array([[1.0, 2.0, np.nan, np.nan], [3.0, np.nan, 6.0, np.nan]])
    found = crossed_interval(values, Resampling(300, 0))
    assert found is not None
    assert (found.mean, found.count) == (3.0, 3) and 1 <= found.low <= 3 <= found.high <= 6
