"""The procedural street world: visible by day or night, relit, infrared and semantic images.

A world built to have what the task needs: infrared depends on what a thing *is* (people, engines
and lamps are hot), on what is seen (weather, sun and shade, dark asphalt and paint, lit windows)
and on where a thing stands. At night the photo hides most of the scene.

Each image has its own random stream, so that drawing one does not change another; the base's
recipe renders photos and maps without ever computing an infrared image.
"""

import numpy as np
from numpy.typing import NDArray

from backbones.worlds import street_fields as fields
from backbones.worlds.street_builder import build_layout
from backbones.worlds.street_layout import SUPERSAMPLING, Layout
from backbones.worlds.street_photo import photo
from backbones.worlds.street_thermal import thermogram

PANEL_PX = 128
PALETTE = np.array(
    [
        [70, 130, 180],
        [128, 64, 128],
        [244, 35, 232],
        [70, 70, 70],
        [107, 142, 35],
        [0, 0, 200],
        [220, 20, 60],
        [220, 220, 0],
        [152, 251, 152],
    ],
    np.float32,
)  # [class, RGB], the Cityscapes colours

_VISIBLE, _RELIT, _INFRARED = 1, 2, 3  # random streams; street_fields has the others
_SHIFT_DIRECTION = np.array([1.0, 0.6, -0.8])  # instance shades leave the class hue readable

Rgb = NDArray[np.uint8]  # [H, W, 3]
Gray = NDArray[np.uint8]  # [H, W]


def street(seed: int, *, night: bool, panel_px: int = PANEL_PX) -> Layout:
    """The street scene of this seed; `visible`, `infrared`, `semantic`... draw it."""
    return build_layout(seed, night=night, panel_px=panel_px)


def visible(layout: Layout) -> Rgb:
    """The photo, by day or by night as the scene has it."""
    return photo(layout, layout.night, _VISIBLE)


def relit(layout: Layout) -> Rgb:
    """The same scene, in the same weather, photographed at the other time of day."""
    return photo(layout, not layout.night, _RELIT)


def labels(layout: Layout) -> Gray:
    """Class ids [H, W], indices into `street_layout.CLASSES`."""
    return fields.column(layout, "label")[::SUPERSAMPLING, ::SUPERSAMPLING].astype(np.uint8)


def semantic(layout: Layout) -> Rgb:
    """The panoptic colour map: class colour plus a shade for each instance."""
    shift = fields.column(layout, "shift")[::SUPERSAMPLING, ::SUPERSAMPLING, None]
    return np.clip(PALETTE[labels(layout)] + shift * _SHIFT_DIRECTION, 0, 255).astype(np.uint8)


def infrared(layout: Layout) -> Gray:
    """The thermal image [H, W]; one fixed range of temperatures about the air of the scene."""
    return thermogram(layout, _INFRARED)
