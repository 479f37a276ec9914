import refract.models.torchvision_compat  # noqa: F401  (must precede cleanfid)

import numpy as np
import pytest
from cleanfid.fid import frechet_distance as cleans_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.evaluation.measures.set_distance import frechet_distance


def _features(seed: int, count: int, width: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + rng.normal(
        size=width
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_it_is_clean_fids_on_the_same_features(seed: int, width: int) -> None:
    ours, theirs = _features(seed, 60, width), _features(seed + 1, 45, width)
    moments = [x for group in (ours, theirs) for x in (group.mean(0), np.cov(group, rowvar=False))]
    assert frechet_distance(ours, theirs) == pytest.approx(cleans_distance(*moments), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_a_distance(seed: int) -> None:
    one, other = _features(seed, 30, 5), _features(seed + 1, 30, 5)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))
    assert frechet_distance(one, other) >= 0


def test_singular_covariances_stay_finite_and_real() -> None:
    one, other = _features(0, 10, 30), _features(1, 10, 30)  # fewer images than features
    moments = [x for group in (one, other) for x in (group.mean(0), np.cov(group, rowvar=False))]
    root = np.linalg.eigvals(moments[1] @ moments[3]).astype(complex) ** 0.5
    step = np.square(moments[0] - moments[2]).sum()
    expected = step + np.trace(moments[1]) + np.trace(moments[3]) - 2 * root.real.sum()
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-4)


def test_one_repeated_picture_is_far_though_the_mean_is_right() -> None:
    truths = _features(3, 60, 4)
    collapsed = np.repeat(truths.mean(0)[None], 60, 0)
    assert frechet_distance(collapsed, truths) == pytest.approx(np.cov(truths.T).trace())


def test_features_that_are_not_finite_are_refused() -> None:
    good = _features(0, 10, 3)
    with pytest.raises(InputError, match="not finite"):
        frechet_distance(np.where(good > 0, np.nan, good), good)
