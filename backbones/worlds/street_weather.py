"""The weather of a street scene and what it does to surfaces out of the sun.

Weather acts strongly on temperatures and shows in the photo at any hour: by day in light, shadows
and sky, by night in stars, lit clouds, snow and reflections. Temperatures are in kelvin above the
air of the scene; nothing here is calibrated.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["clear", "overcast", "snow", "wet"]
KINDS: tuple[Kind, ...] = ("clear", "overcast", "snow", "wet")
_SHARES = (0.38, 0.13, 0.35, 0.14)

# Surface temperature without direct sun, (day, night) in kelvin. A clear night sky draws heat out
# of grass and parked cars while asphalt still holds the day's; water and cloud level everything.
_SURFACES: dict[Kind, dict[str, tuple[float, float]]] = {
    "clear": {
        "road": (5, 8),
        "sidewalk": (4, 5),
        "terrain": (2, -9),
        "building": (3, 4),
        "tree": (1, -3),
        "vehicle": (2, -8),
        "lamp": (2, -4),
    },
    "overcast": {
        "road": (5, 4),
        "sidewalk": (3, 2),
        "terrain": (1, 0),
        "building": (2, 3),
        "tree": (0, 1),
        "vehicle": (1, 0),
        "lamp": (0, 0),
    },
    "snow": {
        "road": (-11, -11),
        "sidewalk": (-15, -14),
        "terrain": (-17, -18),
        "building": (-2, -2),
        "tree": (-10, -10),
        "vehicle": (-12, -13),
        "lamp": (-8, -8),
    },
    "wet": {
        "road": (-4, -4),
        "sidewalk": (-4, -4),
        "terrain": (-3, -3),
        "building": (-1, 0),
        "tree": (-2, -2),
        "vehicle": (-4, -4),
        "lamp": (-2, -2),
    },
}
# What a cloud looks like in infrared at the horizon and at the zenith, and the same without one.
_CLOUD: dict[Kind, tuple[float, float]] = {
    "clear": (-3, -8),
    "overcast": (1, -2),
    "snow": (-9, -15),
    "wet": (-2, -5),
}
CLEAR_SKY = (-10.0, -26.0)


@dataclass(frozen=True)
class Weather:
    kind: Kind
    sun: float  # direct sunlight by day, 0..1
    sun_side: int  # -1 from the left, 1 from the right
    cover: float  # share of the sky behind clouds, 0..1

    @property
    def snow(self) -> bool:
        return self.kind == "snow"

    @property
    def wet(self) -> bool:
        return self.kind == "wet"

    @property
    def cloud(self) -> tuple[float, float]:
        """Kelvin of a cloud at the horizon and at the zenith."""
        return _CLOUD[self.kind]

    def surface(self, name: str, night: bool) -> float:
        """Kelvin above the air of a surface of class `name` that no sun reaches."""
        return _SURFACES[self.kind][name][int(night)]


def draw_weather(random: np.random.Generator) -> Weather:
    """Draw the weather of one scene."""
    kind = KINDS[int(random.choice(len(KINDS), p=_SHARES))]
    side = int(random.choice((-1, 1)))
    strength, cover = random.uniform(0.75, 1.0), random.uniform(0.0, 0.5)
    if kind == "clear":
        return Weather(kind, strength, side, cover)
    cloudy = random.random() < 0.6 or kind != "snow"
    return Weather(kind, 0 if cloudy else 0.45 * strength, side, 1 if cloudy else cover)
