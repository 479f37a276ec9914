"""The canvas that the parts of a street scene are drawn on, back to front."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from backbones.worlds.street_layout import CLASSES, SUPERSAMPLING, Colour, Layout, Material
from backbones.worlds.street_weather import draw_weather

Paint = Sequence[float] | NDArray[np.float64]  # RGB, 0..1

# Kelvin that a black surface gains in full sun; leaves and grass cool themselves with water.
_SOLAR = {"road": 26, "sidewalk": 28, "building": 28, "vehicle": 22, "person": 12, "lamp": 10}
_SOLAR |= {"tree": 8, "terrain": 18, "sky": 0}


class Canvas:
    """A map of material indices in the making, with its random stream."""

    def __init__(self, seed: int, night: bool, panel_px: int) -> None:
        self.random = np.random.default_rng([seed, 0])
        self.uniform = self.random.uniform
        self.side = panel_px * SUPERSAMPLING
        self.night = night
        self.weather = draw_weather(self.random)
        self.layout = Layout(seed, night, self.side, self.weather)
        self._image = Image.new("I", (self.side, self.side), 0)
        self.draw = ImageDraw.Draw(self._image)

    def add(self, name: str, colour: Paint, heat: float, **more: float) -> int:
        """Register a material of class `name`; returns its index, used as the drawing colour.

        What sun it takes up follows from its colour; `heat` is kelvin out of the sun.
        """
        r, g, b = (float(c) for c in colour)
        solar = _SOLAR[name] * max(0.0, 1 - (r + g + b) / 3)
        options = {"solar": solar} | more
        material = Material(CLASSES.index(name), (r, g, b), heat, **options)  # type: ignore[arg-type]
        self.layout.materials.append(material)
        return len(self.layout.materials) - 1

    def shining(self, index: int, shine: Colour) -> int:
        """Let material `index` shine in the colour `shine` at night, as far as it glows."""
        self.layout.materials[index] = replace(self.layout.materials[index], shine=shine)
        return index

    def surface(self, name: str) -> float:
        """Kelvin of a surface of class `name` in this weather, out of the sun."""
        return self.weather.surface(name, self.night) + float(self.uniform(-0.5, 0.5))

    def road_x(self, y: float, across: float) -> float:
        """x of the point `across` (0 left kerb .. 1 right kerb) of the road at height y."""
        road, horizon = self.layout.road, self.layout.horizon
        depth = (y - horizon) / (self.side - horizon)
        left = road.vanish - road.half + (road.left - road.vanish + road.half) * depth
        right = road.vanish + road.half + (road.right - road.vanish - road.half) * depth
        return left + (right - left) * across

    def finish(self) -> Layout:
        self.layout.ids = np.asarray(self._image).astype(np.int64)
        return self.layout
