"""Maps over the pixels of a street scene that its photo and its infrared image share.

All are [side, side] at the supersampled resolution.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backbones.worlds.street_layout import CLASSES, SUPERSAMPLING, Layout

Field = NDArray[np.float32]

_TEXTURE, _CLOUDS = 4, 5  # random streams; street.py has the others
_GROUND = tuple(CLASSES.index(name) for name in ("road", "sidewalk", "terrain"))


def column(layout: Layout, name: str) -> Field:
    """One material property at every pixel."""
    values = np.array([getattr(material, name) for material in layout.materials], np.float32)
    return values[layout.ids]


def rows(layout: Layout) -> NDArray[np.int64]:
    return np.arange(layout.side)[:, None]


def is_class(layout: Layout, name: str) -> NDArray[np.bool_]:
    return column(layout, "label") == CLASSES.index(name)


def is_ground(layout: Layout) -> NDArray[np.bool_]:
    return np.isin(column(layout, "label"), _GROUND)


def elevation(layout: Layout) -> Field:
    """Height within a thing: 0 at its foot .. 1 at its top."""
    height = (column(layout, "foot") - rows(layout)) / column(layout, "span")
    return np.clip(height, 0, 1).astype(np.float32)


def shade(layout: Layout) -> Field:
    """1 where a building out of sight throws its shadow on the scene, soft at the edge."""
    top, bottom = layout.shade_edge
    y, x = rows(layout) / layout.side, np.arange(layout.side)[None, :]
    edge = top + (bottom - top) * y
    distance = layout.weather.sun_side * (x - edge) / (0.015 * layout.side)
    inside = 1 / (1 + np.exp(np.clip(distance, -30, 30)))
    return (inside * ~is_class(layout, "sky")).astype(np.float32)


def sunlight(layout: Layout) -> Field:
    """Direct sunlight on each surface by day, 0..1: none behind clouds, in shade, turned away."""
    facing = column(layout, "facing")
    return np.float32(layout.weather.sun) * facing * (1 - shade(layout))


def clouds(layout: Layout) -> Field:
    """Cloud before the sky, 0..1; cloud banks are wider than high."""
    random = np.random.default_rng([layout.seed, _CLOUDS])
    field = texture(random, layout.side, ((4, 0.6), (9, 0.35), (24, 0.12)))
    flat = np.sort(field, axis=None)
    cover = layout.weather.cover
    if cover >= 1:
        return np.ones_like(field)
    threshold = flat[int((1 - cover) * (flat.size - 1))]
    return np.clip(0.5 + (field - threshold) / 0.25, 0, 1).astype(np.float32)


def tracks(layout: Layout) -> Field:
    """1 where the wheels of the traffic run on the road, two tracks a lane."""
    road = layout.road
    depth = np.clip((rows(layout) - layout.horizon) / (layout.side - layout.horizon), 0, 1)
    left = road.vanish - road.half + (road.left - road.vanish + road.half) * depth
    right = road.vanish + road.half + (road.right - road.vanish - road.half) * depth
    across = (np.arange(layout.side)[None, :] - left) / np.maximum(right - left, 1)
    lanes = sum(np.exp(-(((across - at) / 0.038) ** 2)) for at in (0.13, 0.36, 0.64, 0.87))
    on_road = np.array([material.tracked for material in layout.materials], np.float32)
    return (lanes * on_road[layout.ids]).astype(np.float32)


def puddles(layout: Layout) -> Field:
    """1 where water stands on the road and the sidewalk; 0 everywhere in dry weather."""
    if not layout.weather.wet:
        return np.zeros((layout.side, layout.side), np.float32)
    paved = is_class(layout, "road") | is_class(layout, "sidewalk")
    return np.clip((surface(layout) - 0.15) / 0.2, 0, 1) * paved


def surface(layout: Layout) -> Field:
    """The surface texture of the scene, shared by all its images."""
    random = np.random.default_rng([layout.seed, _TEXTURE])
    return texture(random, layout.side, ((8, 0.5), (24, 0.3), (64, 0.2), (128, 0.15)))


def texture(
    random: np.random.Generator, side: int, octaves: tuple[tuple[int, float], ...]
) -> Field:
    """Fractal noise of (cells, weight) octaves, roughly standard normal in its coarse ones."""
    field = np.zeros((side, side), np.float32)
    for cells, weight in octaves:
        grid = Image.fromarray(random.standard_normal((cells, cells)).astype(np.float32))
        field += weight * np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))
    return field


def shrink(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Average the supersampled pixels to the finished resolution."""
    s = SUPERSAMPLING
    height, width = image.shape[:2]
    blocks = image.reshape(height // s, s, width // s, s, *image.shape[2:])
    return blocks.mean(axis=(1, 3), dtype=np.float64)


def to_bytes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(image * 255, 0, 255).astype(np.uint8)
