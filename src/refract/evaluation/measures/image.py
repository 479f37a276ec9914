"""Full-reference image measures on numpy arrays: PSNR, SSIM and L1, whole or masked.

Images are float arrays `[H, W]` or `[H, W, C]` in [0, 1] (see `to_unit`).
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.media.regions import BoolArray

FloatArray = NDArray[np.floating]

# A perfect match has infinite PSNR, which no mean and no JSON can hold. 100 dB is one part in
# 10^5 of full scale, far below one 8-bit step (48 dB), so no rounded image lies between.
PSNR_CEILING = 100.0
SSIM_SIGMA, SSIM_RADIUS = 1.5, 5  # px, of the Gaussian window
SSIM_CONSTANTS = (0.01**2, 0.03**2)  # of luminance and of contrast, for images in [0, 1]


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

    Windows are 11 x 11. Colour images: mean over the channels. Without `mask` over the windows that
    lie inside the image; with it, `[H, W]`, over those centred where it is true, which may see up
    to 5 px of the other side, and of what is mirrored beyond the border. An empty mask gives nan.
    """
    same_shape(image, truth)
    similarity = ssim_map(image, truth)
    if mask is None:
        return inner_mean(similarity)
    return float(similarity[mask].mean()) if mask.any() else float("nan")


def ssim_map(image: FloatArray, truth: FloatArray) -> FloatArray:
    """SSIM at every place of images `[H, W]` or `[H, W, C]`, or of clips `[T, H, W, C]`.

    scikit-image's, of all frames and channels at once: one by one takes twice as long.
    """
    luminance, contrast = similarity_terms(image, truth)
    return luminance * contrast


def similarity_terms(image: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """SSIM's factors at every place: of luminance, and of contrast and structure."""
    from scipy.ndimage import gaussian_filter  # not above: definitions name what calls this

    axes = (1, 2) if image.ndim == 4 else (0, 1)
    blur = partial(gaussian_filter, sigma=SSIM_SIGMA, radius=SSIM_RADIUS, axes=axes)
    mean, true_mean = blur(image), blur(truth)
    product, squares = mean * true_mean, mean**2 + true_mean**2
    covariance = blur(image * truth) - product
    variances = blur(image**2 + truth**2) - squares
    of_luminance, of_contrast = SSIM_CONSTANTS
    return (
        (2 * product + of_luminance) / (squares + of_luminance),
        (2 * covariance + of_contrast) / (variances + of_contrast),
    )


def inner_mean(similarity: FloatArray) -> float:
    """Mean of a map `[H, W]` or `[H, W, C]` over the windows that lie inside the image."""
    inside = slice(SSIM_RADIUS, -SSIM_RADIUS)
    return float(similarity[inside, inside].mean(dtype=np.float64))


def l1(image: FloatArray, truth: FloatArray) -> float:
    """Mean absolute error as a fraction of full scale."""
    same_shape(image, truth)
    return float(np.abs(image - truth).mean(dtype=np.float64))
