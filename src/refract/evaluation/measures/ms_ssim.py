"""Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003).

The published index has five scales and needs panels of 192 px and more. Smaller ones have fewer
scales, whose weights are scaled to the sum 1; that is another index under a key of its own
(`ms_ssim_4` at 128 px), since its values do not compare with the published one's.

torchmetrics has the index too, but averages the coarsest scale over windows that reach beyond the
picture too (the authors' code does not): values of 128 px panels differ by up to .0033, it takes 16
times as long on one CPU core in float64, and 5 s to import.
"""

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.evaluation.measures.image import (
    FloatArray,
    inner_mean,
    same_shape,
    similarity_terms,
    ssim,
)

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # fine to coarse, section 4 of the paper
_LEAST_PX = 12  # of the coarsest scale, so that the 11 px window has more than one place


def scales_that_fit(side: int) -> int:
    """Scales of a picture whose shorter side is `side` px: 2 to 5, or 0 where not even two fit."""
    count = sum(side >= _LEAST_PX * 2**scale for scale in range(len(WEIGHTS)))
    return count if count > 1 else 0


def ms_ssim_key(side: int) -> str | None:
    """`ms_ssim` where all five scales fit, `ms_ssim_4` to `ms_ssim_2` for fewer, else None."""
    count = scales_that_fit(side)
    if count == 0:
        return None
    return "ms_ssim" if count == len(WEIGHTS) else f"ms_ssim_{count}"


def scale_weights(count: int) -> tuple[float, ...]:
    """The paper's weights of the finest `count` scales; with fewer than five, of sum 1."""
    chosen = WEIGHTS[:count]
    return chosen if count == len(WEIGHTS) else tuple(w / sum(chosen) for w in chosen)


def ms_ssim(image: FloatArray, truth: FloatArray) -> float:
    """MS-SSIM of two single-channel pictures `[H, W]` in [0, 1], at the scales that fit; 0 to 1.

    Windows as in `image.ssim` (Gaussian 11 x 11, sigma 1.5, K1 .01, K2 .03, inside the
    picture only); each scale is the mean of 2 x 2 pixels of the one before, an odd last row or
    column left out. A scale with a negative mean counts as 0: a power of it would not be real.

    Raises InputError: two shapes, or pictures too small for two scales.
    """
    same_shape(image, truth)
    count = scales_that_fit(min(image.shape))
    if count == 0:
        raise InputError(f"MS-SSIM: {image.shape}, must be {2 * _LEAST_PX} px or more each way")
    one, other = np.asarray(image, np.float64), np.asarray(truth, np.float64)
    *finer, coarsest = scale_weights(count)
    value = 1.0
    for weight in finer:
        value *= max(0.0, inner_mean(similarity_terms(one, other)[1])) ** weight
        one, other = _half(one), _half(other)
    return float(value * max(0.0, ssim(one, other)) ** coarsest)


def _half(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = (side - side % 2 for side in picture.shape)
    even = picture[:height, :width]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
