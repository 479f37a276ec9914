import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d

from refract.base.errors import InputError
from refract.evaluation.measures.image import ssim
from refract.evaluation.measures.ms_ssim import (
    WEIGHTS,
    ms_ssim,
    ms_ssim_key,
    scale_weights,
    scales_that_fit,
)


def _pair(seed: int, side: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = gaussian_filter(rng.random((side, side)), 2)
    truth = (truth - truth.min()) / np.ptp(truth)
    return np.clip(truth + rng.normal(0, noise, truth.shape), 0, 1), truth


def _written_out(image: np.ndarray, truth: np.ndarray, weights: tuple[float, ...]) -> float:
    """The index after the paper's equations, with nothing of the module or its library."""
    ramp = np.arange(-5, 6)
    window = np.exp(-(ramp[:, None] ** 2 + ramp[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(x: np.ndarray) -> np.ndarray:
        return convolve2d(x, window, mode="valid")

    value, last = 1.0, len(weights) - 1
    for scale, weight in enumerate(weights):
        mx, my = mean(image), mean(truth)
        vx, vy = mean(image**2) - mx**2, mean(truth**2) - my**2
        cov = mean(image * truth) - mx * my
        contrast_structure = (2 * cov + 0.03**2) / (vx + vy + 0.03**2)
        luminance = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        term = contrast_structure * luminance if scale == last else contrast_structure
        value *= max(0.0, term.mean()) ** weight
        half = np.full((2, 2), 0.25)
        image, truth = (convolve2d(x, half, "valid")[::2, ::2] for x in (image, truth))
    return value


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 0.3))
def test_it_is_the_index_of_the_paper_written_out(seed: int, noise: float) -> None:
    image, truth = _pair(seed, 192, noise)
    assert ms_ssim(image, truth) == pytest.approx(_written_out(image, truth, WEIGHTS), abs=1e-9)


def test_fewer_scales_are_the_same_with_the_weights_scaled_to_one() -> None:
    image, truth = _pair(1, 128, 0.1)
    weights = tuple(np.array(WEIGHTS[:4]) / np.sum(WEIGHTS[:4]))
    assert scale_weights(4) == pytest.approx(weights)
    assert ms_ssim(image, truth) == pytest.approx(_written_out(image, truth, weights), abs=1e-9)


def test_torchmetrics_agrees_but_for_the_border_of_its_coarsest_scale() -> None:
    import refract.models.torchvision_compat  # noqa: F401  (must precede torchmetrics)

    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    image, truth = _pair(2, 192, 0.1)
    ours, theirs = (torch.from_numpy(x)[None, None].float() for x in (image, truth))
    expected = multiscale_structural_similarity_index_measure(
        ours, theirs, data_range=1.0, betas=WEIGHTS
    )
    assert ms_ssim(image, truth) == pytest.approx(float(expected), abs=5e-3)


@pytest.mark.parametrize("side", [24, 47, 96, 128, 192, 193])
def test_identity_scores_one_at_every_size(side: int) -> None:
    _, truth = _pair(3, side, 0.0)
    assert ms_ssim(truth, truth) == pytest.approx(1.0)


def test_the_key_tells_how_many_scales_there_are() -> None:
    sides = {512: "ms_ssim", 192: "ms_ssim", 191: "ms_ssim_4", 128: "ms_ssim_4", 64: "ms_ssim_3"}
    assert {side: ms_ssim_key(side) for side in sides} == sides
    assert ms_ssim_key(24) == "ms_ssim_2" and ms_ssim_key(23) is None
    assert scales_that_fit(12) == 0, "one scale is plain SSIM"


def test_a_negative_picture_scores_nothing() -> None:
    _, truth = _pair(4, 128, 0.0)
    assert ms_ssim(1 - truth, truth) == 0.0


def test_noise_that_vanishes_at_a_distance_costs_less_than_at_one_scale() -> None:
    image, truth = _pair(5, 192, 0.2)
    assert ssim(image, truth) + 0.1 < ms_ssim(image, truth) < 1


def test_a_blur_costs() -> None:
    _, truth = _pair(6, 128, 0.0)
    values = [ms_ssim(gaussian_filter(truth, sigma), truth) for sigma in (1, 2, 4)]
    assert 1 > values[0] > values[1] > values[2]


def test_too_small_or_unlike_shapes_are_refused() -> None:
    small = np.zeros((23, 40))
    with pytest.raises(InputError, match=r"\(23, 40\), must be 24 px"):
        ms_ssim(small, small)
    with pytest.raises(InputError, match="differs"):
        ms_ssim(small, small[:20])
