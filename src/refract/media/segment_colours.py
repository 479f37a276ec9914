"""Panoptic segments as a colour map: the colour of the class, a little shaded by instance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.media.image_reading import class_colours

CITYSCAPES = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}  # the colours of that data set, RGB
_CITYSCAPES_THINGS = frozenset(
    {"person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"}
)

# Levels of the first, second, ... instance of a class, then again from the first. They stay below
# half the distance of any two class colours, so that the nearest class colour is the right one.
_SHADES = (0, 12, -12, 6, -6, 9, -9, 3, -3)
_SHADE_DIRECTION = np.array([1.0, 0.6, -0.8])  # leaves the hue of the class readable


class Segment(NamedTuple):
    """One segment: its id in the segment map and its class."""

    id: int
    label: int


class SegmentPalette(NamedTuple):
    """colours: of the classes, [N, 3]. things: which classes have instances to be told apart."""

    colours: NDArray[np.uint8]
    things: tuple[bool, ...]


def segment_palette(names: Sequence[str]) -> SegmentPalette:
    """Colours of a segmenter's classes, by their names in the order of their ids.

    Cityscapes colours where every class is one of Cityscapes. Else class k is coloured as class id
    k + 1 of a label file would be, since 0 is unlabelled and black; which classes are things is
    then not known, and each is taken for one.

    Raises InputError for more than 255 classes.
    """
    plain = [" ".join(name.lower().replace("-", " ").replace("_", " ").split()) for name in names]
    if set(plain) <= CITYSCAPES.keys():
        colours = np.array([CITYSCAPES[name] for name in plain], np.uint8)
        return SegmentPalette(colours, tuple(name in _CITYSCAPES_THINGS for name in plain))
    colours = class_colours()[1:]
    if len(names) > len(colours):
        raise InputError(f"{len(names)} classes, there are colours for {len(colours)}")
    return SegmentPalette(colours[: len(names)], (True,) * len(names))


def paint_segments(
    ids: NDArray[np.integer], segments: Sequence[Segment], palette: SegmentPalette
) -> NDArray[np.uint8]:
    """The colour map [H, W, 3] of segment ids [H, W]; pixels of no listed segment are black."""
    painted = np.zeros((*ids.shape, 3), np.uint8)
    seen = [0] * len(palette.things)
    for segment in segments:
        shade = _SHADES[seen[segment.label] % len(_SHADES)] if palette.things[segment.label] else 0
        seen[segment.label] += 1
        colour = palette.colours[segment.label] + shade * _SHADE_DIRECTION
        painted[ids == segment.id] = np.rint(colour).clip(0, 255).astype(np.uint8)
    return painted
