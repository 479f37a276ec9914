"""Colour agreement of two sets of pixels: Lab histogram overlap and CIE76 difference.

Colours are compared in CIE L*a*b* (D65, 2 degrees) through scikit-image's `rgb2lab`. It and SciPy
are imported by what uses them: definitions are read without measuring anything.
"""

import numpy as np
from numpy.typing import NDArray

from refract.evaluation.measures.image import FloatArray

HISTOGRAM_BINS = (6, 8, 8)  # L, a, b: lightness coarser, because shading is not the product's
HISTOGRAM_RANGE = ((0.0, 100.0), (-80.0, 80.0), (-80.0, 80.0))
HISTOGRAM_BLUR = 0.7  # bins; colours near a bin's edge then match their neighbour too


def lab_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """8-bit sRGB pixels `[N, 3]` -> Lab `[N, 3]`, L in 0..100; each colour is converted once."""
    from skimage.color import rgb2lab

    distinct, places = np.unique(packed(pixels), return_inverse=True)
    lab = rgb2lab(unpacked(distinct).astype(np.float64)[None] / 255.0)[0]
    return np.asarray(lab, np.float64)[places]


def packed(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    """One number a colour `[..., 3]`, `[N]`."""
    wide = colours.reshape(-1, 3).astype(np.int64)
    return (wide[:, 0] << 16) | (wide[:, 1] << 8) | wide[:, 2]


def unpacked(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The colours `[N, 3]` of `packed`."""
    return np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], -1).astype(np.uint8)


def colour_histogram(lab: FloatArray) -> NDArray[np.float64]:
    """Blurred, normalised Lab histogram of pixels `[N, 3]`, bins 6 x 8 x 8, sum 1.

    Values outside the range count in the outermost bin: no pixel is lost. N must be positive.
    """
    from scipy.ndimage import gaussian_filter

    low, high = np.array(HISTOGRAM_RANGE).T
    counts, _ = np.histogramdd(np.clip(lab, low, high), HISTOGRAM_BINS, HISTOGRAM_RANGE)
    blurred = gaussian_filter(counts, HISTOGRAM_BLUR)
    return np.asarray(blurred / blurred.sum(), np.float64)


def histogram_bins(lab: FloatArray) -> NDArray[np.intp]:
    """The bin of `colour_histogram` that each Lab pixel `[N, 3]` counts in, `[N, 3]`."""
    low, high = np.array(HISTOGRAM_RANGE).T
    bins = np.array(HISTOGRAM_BINS)
    return np.clip(((lab - low) / (high - low) * bins).astype(np.intp), 0, bins - 1)


def histogram_overlap(histogram: FloatArray, other: FloatArray) -> float:
    """Histogram intersection of Swain and Ballard 1991: sum of the bin-wise minima, in [0, 1]."""
    return float(np.clip(np.minimum(histogram, other).sum(), 0.0, 1.0))


def delta_e(lab: FloatArray, other: FloatArray) -> float:
    """CIE76 colour difference between the mean Lab colours of two sets of pixels `[N, 3]`."""
    return float(np.linalg.norm(lab.mean(0) - other.mean(0)))
