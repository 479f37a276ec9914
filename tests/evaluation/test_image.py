import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from refract.base.errors import InputError
from refract.evaluation.measures.image import PSNR_CEILING, l1, psnr, ssim, to_unit


def _pair(seed: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(shape)
    return np.clip(truth + rng.normal(0, 0.1, shape), 0, 1), truth


@given(st.integers(0, 10_000))
def test_psnr_is_scikit_images(seed: int) -> None:
    image, truth = _pair(seed, 16, 24, 3)
    assert psnr(image, truth) == pytest.approx(
        peak_signal_noise_ratio(truth, image, data_range=1.0), abs=1e-9
    )


def test_psnr_of_a_known_error() -> None:
    truth = np.zeros((8, 8))
    assert psnr(truth + 0.1, truth) == pytest.approx(20.0)
    assert l1(truth + 0.1, truth) == pytest.approx(0.1)


def test_identical_images_stop_at_the_ceiling() -> None:
    image, _ = _pair(0, 16, 16)
    assert psnr(image, image) == PSNR_CEILING
    assert ssim(image, image) == pytest.approx(1.0)
    assert l1(image, image) == 0


def test_one_level_of_one_pixel_is_below_the_ceiling() -> None:
    truth = np.zeros((64, 64), np.uint8)
    image = truth.copy()
    image[0, 0] = 1
    assert psnr(to_unit(image), to_unit(truth)) < PSNR_CEILING


@pytest.mark.parametrize("shape", [(24, 32), (24, 32, 3)])
def test_ssim_is_wang_2004_as_scikit_image_computes_it(shape: tuple[int, ...]) -> None:
    image, truth = _pair(1, *shape)
    expected = structural_similarity(
        truth,
        image,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1 if len(shape) == 3 else None,
    )
    assert ssim(image, truth) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_single_and_double_precision_agree_to_the_digits_reported() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    double = [x.astype(np.float64) / 255 for x in (one, other)]
    assert ssim(to_unit(one), to_unit(other)) == pytest.approx(ssim(*double), abs=1e-6)


def test_a_mask_hides_what_lies_outside_it() -> None:
    truth = np.full((40, 40), 0.5)
    image = truth.copy()
    image[:20] = 1.0  # the upper half is wrong everywhere
    lower = np.zeros((40, 40), bool)
    lower[30:] = True  # further from the error than the window reaches
    assert psnr(image, truth, lower) == PSNR_CEILING
    assert ssim(image, truth, lower) == pytest.approx(1.0)
    assert psnr(image, truth, ~lower) < 15
    assert ssim(image, truth, ~lower) < 0.99


def test_a_full_mask_changes_nothing() -> None:
    image, truth = _pair(3, 20, 20, 3)
    everything = np.ones((20, 20), bool)
    assert psnr(image, truth, everything) == pytest.approx(psnr(image, truth))


def test_an_empty_mask_has_no_value() -> None:
    image, truth = _pair(4, 16, 16)
    nothing = np.zeros((16, 16), bool)
    assert np.isnan(psnr(image, truth, nothing))
    assert np.isnan(ssim(image, truth, nothing))


@pytest.mark.parametrize("measure", [psnr, ssim, l1])
def test_other_shapes_are_refused_not_resized(measure: object) -> None:
    with pytest.raises(InputError, match=r"\(16, 16\).*\(16, 17\)"):
        measure(np.zeros((16, 16)), np.zeros((16, 17)))  # type: ignore[operator]
