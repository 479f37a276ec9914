"""Pixel regions of a clip: where two differ, shrinking and growing masks, and the box around one.

SciPy and scikit-image are imported where they work: others need no more of this than its types.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)  # 4-neighbourhood
CHANGE = "mean absolute difference over the channels, Gaussian of 1 px, above Li's threshold"
_SIGMA = 1.0  # px
_LEAST_CHANGE = 4.0  # levels of 255: below it is the noise of encoding


def _per_frame(ndim: int) -> BoolArray:
    """The 4-neighbourhood inside a frame, none across leading axes (time)."""
    return _CROSS.reshape((1,) * (ndim - 2) + (3, 3))


def grow(mask: BoolArray, px: int) -> BoolArray:
    """Mask `[..., H, W]` dilated by `px` city-block pixels in each frame on its own."""
    from scipy.ndimage import binary_dilation

    if px == 0:
        return mask
    return np.asarray(binary_dilation(mask, _per_frame(mask.ndim), iterations=px), bool)


def shrink(mask: BoolArray, px: int) -> BoolArray:
    """Mask `[..., H, W]` eroded by `px` city-block pixels; the frame's border does not erode."""
    from scipy.ndimage import binary_erosion

    if px == 0:
        return mask
    eroded = binary_erosion(mask, _per_frame(mask.ndim), iterations=px, border_value=1)
    return np.asarray(eroded, bool)


def core(mask: BoolArray, px: int, *, least: int = 50) -> BoolArray:
    """The inside of a mask, free of its blended outline; the mask itself where it is too thin.

    `least` pixels must survive the erosion, or a thin product would be judged on a handful.
    """
    inner = shrink(mask, px)
    return inner if int(inner.sum()) >= least else mask


def square_box(mask: BoolArray, margin: float) -> tuple[int, int, int] | None:
    """The square (top, left, side) around the true pixels of `mask` `[H, W]`, or None if none.

    `margin` widens the longer side by that fraction on each side. The square is moved, never
    squashed, to lie inside the frame; its side is at most the frame's shorter side.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size == 0:
        return None
    height, width = mask.shape
    extent = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = int(min(np.ceil(extent * (1 + 2 * margin)), height, width))
    top = (rows[0] + rows[-1] + 1 - side) // 2
    left = (columns[0] + columns[-1] + 1 - side) // 2
    return int(np.clip(top, 0, height - side)), int(np.clip(left, 0, width - side)), side


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
