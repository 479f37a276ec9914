"""Where an edit by the prompts alone changed its source: the product's region without masks."""

import numpy as np

from refract.evaluation.measures.product import Frames, RegionMask

FOUND_METHOD = (
    "where the plain edit changed its source: mean absolute difference over the channels, Gaussian "
    "of 1 px, above Li's threshold (scikit-image), largest part in space and time, holes filled"
)
_SIGMA = 1.0  # px
_LEAST_CHANGE = 4.0  # levels of 255: below it is the noise of encoding
_MOST = 0.5  # of the clip: an edit that changed more has no place


def changed_region(plain: Frames, source: Frames) -> RegionMask | None:
    """The region `[T, H, W]` by `FOUND_METHOD`; None where there is none, or half of the clip.

    Li and Lee 1993: the threshold of least cross entropy. The plain edit knows neither the
    product's photo nor the clip that is judged, so that none of these draws its own target.
    """
    from scipy.ndimage import binary_fill_holes, gaussian_filter, label
    from skimage.filters import threshold_li

    change = np.abs(plain.astype(np.float32) - source).mean(-1)
    change = gaussian_filter(change, (0, _SIGMA, _SIGMA))
    if change.max() <= _LEAST_CHANGE:
        return None
    parts, _ = label(change > max(threshold_li(change), _LEAST_CHANGE), np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    region = np.stack([binary_fill_holes(frame) for frame in parts == sizes.argmax()])
    return region if region.mean() <= _MOST else None
