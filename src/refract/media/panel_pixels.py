"""Raw pictures to square panels: border off, centre crop, resize, 16-bit infrared to 8 bits."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ASPECT_TOLERANCE = 0.02  # registered pairs may differ by a pixel or two of cropping


def same_aspect(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether two shapes [H, W, ...] show the same field of view up to scale."""
    ratio = (first[1] / first[0]) / (second[1] / second[0])
    return abs(ratio - 1) <= _ASPECT_TOLERANCE


def square_panel(
    pixels: NDArray[np.uint8], panel_px: int, *, labels: bool = False
) -> NDArray[np.uint8]:
    """Centre-crop [H, W] or [H, W, C] to its short side and resize to panel_px x panel_px.

    Cropping instead of squeezing keeps shapes; the two sides lose (long - short) / 2 each.
    Photographs are resized with Lanczos, `labels` (semantic maps) by nearest neighbour, since a
    colour between two classes is no class.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    if side == panel_px:
        return np.ascontiguousarray(square)
    method = Image.Resampling.NEAREST if labels else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(square).resize((panel_px, panel_px), method))


def to_eight_bits(pixels: NDArray[np.uint16], low: int, high: int) -> NDArray[np.uint8]:
    """Map low..high linearly to 0..255 and clip.

    One range for the whole data set keeps temperatures comparable between pictures.
    """
    scaled = (pixels.astype(np.float64) - low) * (255.0 / max(high - low, 1))
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


def percentile_range(counts: NDArray[np.int64], fraction: float = 0.001) -> tuple[int, int]:
    """The values that leave out `fraction` of the pixels at each end of a histogram [65536]."""
    share = counts.cumsum() / counts.sum()
    low = int(np.searchsorted(share, fraction, side="right"))
    high = int(np.searchsorted(share, 1 - fraction, side="left"))
    return low, max(high, low)


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
