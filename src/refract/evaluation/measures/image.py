"""Full-reference image measures on numpy arrays: PSNR, SSIM and L1, whole or masked.

Images are float arrays `[H, W]` or `[H, W, C]` in [0, 1] (see `to_unit`). SSIM is scikit-image's.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.media.regions import BoolArray

FloatArray = NDArray[np.floating]

# A perfect match has infinite PSNR, which no mean and no JSON can hold. 100 dB is one part in
# 10^5 of full scale, far below one 8-bit step (48 dB), so no rounded image lies between.
PSNR_CEILING = 100.0
SSIM_SETTINGS: dict[str, Any] = {
    "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0,
}  # fmt: skip


def to_unit(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """8-bit image of any shape -> float32 in [0, 1]."""
    return np.asarray(image, np.float32) / np.float32(255)


def same_shape(image: FloatArray, truth: FloatArray, what: str = "image") -> None:
    """Raise `InputError` unless both arrays have one shape: metrics never resize silently."""
    if image.shape != truth.shape:
        raise InputError(
            f"{what}: shape {image.shape} differs from its reference's {truth.shape}; "
            "both must be the same"
        )


def psnr(image: FloatArray, truth: FloatArray, mask: BoolArray | None = None) -> float:
    """Peak signal-to-noise ratio, dB: -10 log10 of the mean squared error, peak 1.

    All channels weigh alike. With `mask` `[H, W]` only pixels where it is true count; an empty
    mask gives nan. Capped at `PSNR_CEILING`, the value of identical images.
    """
    same_shape(image, truth)
    squared = np.square(image - truth, dtype=np.float64)
    if mask is not None:
        squared = squared[mask]
    if squared.size == 0:
        return float("nan")
    mean_squared = float(squared.mean())
    return min(PSNR_CEILING, -10.0 * float(np.log10(max(mean_squared, 1e-12))))


def ssim(image: FloatArray, truth: FloatArray, mask: BoolArray | None = None) -> float:
    """Structural similarity of Wang et al. 2004: Gaussian window, sigma 1.5, K1 .01, K2 .03.

    scikit-image's with `SSIM_SETTINGS` (an 11 x 11 window). Colour images: mean over the channels.
    With `mask` `[H, W]` the SSIM map is averaged where the mask is true; a window
    centred there may see up to 5 px of the other side. An empty mask gives nan.
    """
    from skimage.metrics import structural_similarity  # not above: definitions name this function

    same_shape(image, truth)
    settings = SSIM_SETTINGS | {"channel_axis": -1 if image.ndim == 3 else None}
    if mask is None:
        return float(structural_similarity(image, truth, **settings))
    if not mask.any():
        return float("nan")
    _, ssim_map = structural_similarity(image, truth, full=True, **settings)
    return float(ssim_map[mask].mean())


def l1(image: FloatArray, truth: FloatArray) -> float:
    """Mean absolute error as a fraction of full scale."""
    same_shape(image, truth)
    return float(np.abs(image - truth).mean(dtype=np.float64))
