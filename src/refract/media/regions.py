"""Pixel regions of a clip: shrinking and growing masks, and the box around one.

SciPy is imported where a mask is worked on: others need no more of this than its types.
"""

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)  # 4-neighbourhood


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
