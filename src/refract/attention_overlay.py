"""A picture of an attention map: heat over a darkened semantic map, the looking region outlined."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from refract.attention_maps import TokenBox

_DIMMED = 0.5  # of the map's brightness, so that heat stands out and classes stay recognisable
_OUTLINE = (0, 255, 255)  # cyan: no heat has it


def draw_overlay(
    semantic: NDArray[np.uint8], heat: NDArray[np.floating], box: TokenBox
) -> NDArray[np.uint8]:
    """[P, P, 3] from a map of that shape and the heat of its tokens [rows, columns], none negative.

    Heat is relative to its own maximum: nothing (the dimmed map), red, yellow, white. Each token
    is one square, without smoothing, since the attention knows nothing finer.
    """
    side = semantic.shape[0] // heat.shape[0]
    hottest = float(heat.max())
    relative = heat / hottest if hottest > 0 else heat
    strength = np.kron(relative, np.ones((side, side)))[..., None]
    glow = 255 * np.concatenate(
        [np.ones_like(strength), (2 * strength).clip(0, 1), (2 * strength - 1).clip(0, 1)], -1
    )
    mixed = (1 - strength) * _DIMMED * semantic + strength * glow
    picture = Image.fromarray(np.rint(mixed).astype(np.uint8))
    left, top, right, bottom = (side * edge for edge in box)
    ImageDraw.Draw(picture).rectangle(
        (left, top, right - 1, bottom - 1), outline=_OUTLINE, width=max(1, side // 8)
    )
    return np.asarray(picture)
