"""Where a clip differs from another: the change of each pixel, and the parts that stand out.

SciPy and scikit-image are imported where they work: others need no more of this than its words.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refract.media.regions import BoolArray

CHANGE = "mean absolute difference over the channels, Gaussian of 1 px, above Li's threshold"
_SIGMA = 1.0  # px
_LEAST_CHANGE = 4.0  # levels of 255: below it is the noise of encoding


class Parts(NamedTuple):
    """labels: `[T, H, W]`, 0 outside of every part. sizes: pixels of each part by its label."""

    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]

    def of_share(self, least: float) -> BoolArray:
        """The parts of at least this share of the largest one, holes filled frame by frame."""
        from scipy.ndimage import binary_fill_holes

        kept = self.sizes >= least * self.sizes.max()
        return np.stack([binary_fill_holes(kept[frame]) for frame in self.labels])


def pixel_change(frame: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """By how many levels `[H, W]` a frame `[H, W, 3]` differs from another, smoothed."""
    from scipy.ndimage import gaussian_filter

    red, green, blue = np.moveaxis(np.abs(frame.astype(np.float32) - other), -1, 0)
    return gaussian_filter((red + green + blue) / 3, _SIGMA)  # `mean` takes five times as long


def changed_parts(change: NDArray[np.generic]) -> Parts | None:
    """The parts of a clip, connected in space and time, whose `pixel_change` [T, H, W] stands out.

    Li and Lee 1993: the threshold of least cross entropy. None where no more changed than encoding
    alone changes.
    """
    from scipy.ndimage import label
    from skimage.filters import threshold_li

    if change.max() <= _LEAST_CHANGE:
        return None
    labels, _ = label(change > max(threshold_li(change), _LEAST_CHANGE), np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return Parts(labels, sizes)
