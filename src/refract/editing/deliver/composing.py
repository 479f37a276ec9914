"""Edited pixels blended into the template's own, in the planes that the codec keeps.

Where the weight is 0 the template's samples stay as the decoder gave them, bit for bit.
"""

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

Planes = NDArray[np.uint8]  # [H * 3 / 2, W]: Y, then U and V of half the width and height
Weight = NDArray[np.uint8]  # [H, W]: 0 is the template, 255 the edit

_EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)


def to_planes(picture: NDArray[np.uint8]) -> Planes:
    """A picture `[H, W, 3]` in RGB, of even sides, as yuv420p: BT.709, limited range."""
    frame = VideoFrame.from_ndarray(picture, "rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        interpolation=_EXACT,
    )
    return frame.to_ndarray().astype(np.uint8, copy=False)


def sample_weights(weight: Weight) -> NDArray[np.uint8]:
    """The weight of each sample of the planes, one after another: of a colour, its four pixels'."""
    wide = weight.astype(np.uint16)
    quads = wide[::2, ::2] + wide[::2, 1::2] + wide[1::2, ::2] + wide[1::2, 1::2]
    colour = (quads // 4).astype(np.uint8).ravel()
    return np.concatenate([weight.ravel(), colour, colour])


def blended(template: Planes, edit: Planes, weight: Weight) -> Planes:
    """The template where the weight is 0, the edit where it is 255, between them in between."""
    share = sample_weights(weight).reshape(template.shape).astype(np.uint16)
    mixed = template * (255 - share) + edit * share  # at most 255 * 255: no overflow
    return ((mixed + 127) // 255).astype(np.uint8)
