"""The white margin that some aerial data sets leave around every picture."""

import numpy as np
from numpy.typing import NDArray

_WHITE = 230  # 8-bit level; JPEG dims a white margin a little
_SHARE = 0.9  # of its pixels; JPEG lets the picture bleed into the innermost ones


def has_white_border(pixels: NDArray[np.uint8], border_px: int) -> bool:
    """Whether the outermost `border_px` rows and columns of [H, W] or [H, W, C] are white."""
    height, width = pixels.shape[:2]
    if min(height, width) <= 2 * border_px:
        return False
    white = (pixels if pixels.ndim == 2 else pixels.min(axis=-1)) >= _WHITE
    margin = np.ones((height, width), bool)
    margin[border_px:-border_px, border_px:-border_px] = False
    return bool(white[margin].mean() >= _SHARE)


def crop_border(pixels: NDArray[np.uint8], border_px: int) -> NDArray[np.uint8]:
    """The picture [H, W, ...] without `border_px` rows and columns on each side."""
    return pixels[border_px:-border_px, border_px:-border_px]
