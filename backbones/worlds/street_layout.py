"""What a procedural street scene is made of: materials, lights, geometry.

A scene is a map of material indices (supersampled) and a table of materials: visible colour,
temperature, textures, glow. The cameras (`street_photo`, `street_thermal`) read nothing else.
`street_builder` and `street_movers` draw the scenes. Temperatures are in kelvin above the air of
the scene; nothing here is calibrated.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backbones.worlds.street_weather import Weather

CLASSES = (
    "sky",
    "road",
    "sidewalk",
    "building",
    "tree",
    "vehicle",
    "person",
    "lamp",
    "terrain",
)  # the index is the class id
SUPERSAMPLING = 2

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    label: int  # class id
    colour: Colour  # albedo, 0..1
    heat: float  # kelvin above the air, out of the sun
    shine: Colour = (0.0, 0.0, 0.0)  # colour of its own light
    texture: float = 0.05  # relative contrast of the visible texture
    heat_texture: float = 0.5  # kelvin
    solar: float = 0.0  # kelvin gained in full sun
    facing: float = 1.0  # 0 turned away from the sun .. 1 towards it
    foot: float = 0.0  # y of the thing's lower end
    span: float = 1.0  # height of the thing, in pixels like `foot`
    rise: float = 0.0  # kelvin from foot to top
    dim: float = 0.0  # how much darker the foot looks than the top, 0..1
    glow: float = 0.0  # 0 reflects light .. 1 shines by itself
    emissivity: float = 0.95
    tracked: float = 0.0  # 1 where wheels leave tracks
    shift: float = 0.0  # shade of this instance in the semantic map


@dataclass(frozen=True)
class Light:
    """A lamp or headlight that brightens its surroundings at night (supersampled pixels)."""

    x: float
    y: float
    radius: float
    power: float


@dataclass(frozen=True)
class Road:
    """The lane: its middle and half width at the horizon, its kerbs at the lower image edge."""

    vanish: float
    half: float
    left: float
    right: float


@dataclass
class Layout:
    seed: int
    night: bool
    side: int  # supersampled pixels
    weather: Weather
    horizon: float = 0.0
    road: Road = field(default_factory=lambda: Road(0, 1, 0, 1))
    shade_edge: tuple[float, float] = (0.0, 0.0)  # x of a cast shadow's edge at top and bottom
    materials: list[Material] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)
    ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
