import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm

from refract.evaluation.measures.bootstrap import mean_interval


def test_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(20, 2, 48)
    ours = mean_interval(values.tolist(), resamples=500, seed=3)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert ours is not None
    assert (ours.low, ours.high) == (theirs.low, theirs.high)


def test_interval_is_that_of_a_percentile_bootstrap_written_out() -> None:
    values = np.random.default_rng(1).gamma(2, size=60)
    rng = np.random.default_rng(9)
    means = values[rng.integers(0, 60, (20_000, 60))].mean(1)
    ours = mean_interval(values.tolist(), resamples=20_000, seed=1)
    assert ours is not None
    low, high = np.percentile(means, [2.5, 97.5])
    assert ours.low == pytest.approx(low, abs=0.01)
    assert ours.high == pytest.approx(high, abs=0.01)


def test_width_is_near_the_normal_theory() -> None:
    values = np.random.default_rng(2).normal(0, 1, 400)
    ours = mean_interval(values.tolist(), resamples=4000, seed=0)
    assert ours is not None
    expected = 2 * norm.ppf(0.975) * values.std() / 20
    assert ours.high - ours.low == pytest.approx(expected, rel=0.08)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12))
def test_mean_lies_inside_and_the_seed_repeats(values: list[float]) -> None:
    first = mean_interval(values, resamples=100, seed=5)
    assert first is not None
    slack = 1e-9 * max(1, abs(first.mean))
    assert first.low - slack <= first.mean <= first.high + slack
    assert first == mean_interval(values, resamples=100, seed=5)
    assert first.count == len(values)


def test_values_that_are_missing_do_not_count() -> None:
    with_gap = mean_interval([1.0, float("nan"), 3.0], resamples=100, seed=0)
    assert with_gap == mean_interval([1.0, 3.0], resamples=100, seed=0)
    assert mean_interval([float("nan")], resamples=100, seed=0) is None
    assert mean_interval([], resamples=100, seed=0) is None
