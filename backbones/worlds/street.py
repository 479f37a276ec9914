"""The procedural street world: visible by day or night, relit, infrared and semantic images.

A world built to have what the task needs: infrared depends on what a thing *is* (people, engines
and lamps are hot), partly on what is seen (dark asphalt and paint are warm, shade is cool), and
partly on nothing visible. At night the photo hides most of the scene.

Each image has its own random stream, so that drawing one does not change another; the base's
recipe renders photos and maps without ever computing an infrared image.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from backbones.worlds.street_layout import SUPERSAMPLING, Layout, build_layout

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

_VISIBLE, _RELIT, _INFRARED, _TEXTURE = 1, 2, 3, 4  # random streams
_SHIFT_DIRECTION = np.array([1.0, 0.6, -0.8])  # instance shades leave the class hue readable

Rgb = NDArray[np.uint8]  # [H, W, 3]
Gray = NDArray[np.uint8]  # [H, W]
Field = NDArray[np.float32]


def street(seed: int, *, night: bool, panel_px: int = PANEL_PX) -> Layout:
    """The street scene of this seed; `visible`, `infrared`, `semantic`... draw it."""
    return build_layout(seed, night=night, panel_px=panel_px)


def visible(layout: Layout) -> Rgb:
    """The photo, by day or by night as the scene has it."""
    return _photo(layout, layout.night, _VISIBLE)


def relit(layout: Layout) -> Rgb:
    """The same scene photographed at the other time of day."""
    return _photo(layout, not layout.night, _RELIT)


def labels(layout: Layout) -> Gray:
    """Class ids [H, W], indices into `street_layout.CLASSES`."""
    return _column(layout, "label")[::SUPERSAMPLING, ::SUPERSAMPLING].astype(np.uint8)


def semantic(layout: Layout) -> Rgb:
    """The panoptic colour map: class colour plus a shade for each instance."""
    shift = _column(layout, "shift")[::SUPERSAMPLING, ::SUPERSAMPLING, None]
    return np.clip(PALETTE[labels(layout)] + shift * _SHIFT_DIRECTION, 0, 255).astype(np.uint8)


def infrared(layout: Layout) -> Gray:
    """The thermal image, normalised around the air temperature as a camera's gain control does."""
    random = np.random.default_rng([layout.seed, _INFRARED])
    y = _rows(layout)
    emissivity = _column(layout, "emissivity")
    sky = layout.materials[0].heat
    # The visible texture carries over: what is darker in a surface is a little warmer.
    weave = 0.8 * _texture(random, layout.side) - 0.5 * _surface(layout)
    heat = _column(layout, "heat") + 1.4 * _column(layout, "heat_texture") * weave
    heat = heat - (0.5 if layout.night else 4.0) * _shade(layout)
    heat = emissivity * heat + (1 - emissivity) * sky  # glass and metal mirror the cold sky
    is_sky = _column(layout, "label") == 0
    heat = heat - np.where(is_sky, 6 * (1 - y / layout.horizon), 0)  # colder to the zenith
    heat = gaussian_filter(heat, layout.side * 0.0032)
    low, high = -14.0, 24.0 if layout.night else 20.0
    image = _shrink((heat - low) / (high - low))
    return _to_bytes(image + 0.012 * random.standard_normal(image.shape))


def _photo(layout: Layout, night: bool, stream: int) -> Rgb:
    random = np.random.default_rng([layout.seed, stream])
    colour = _column(layout, "colour")
    texture = _column(layout, "texture")[..., None]
    albedo = colour * (1 + 1.6 * texture * _surface(layout)[..., None])
    draw = _by_night if night else _by_day
    return _to_bytes(_shrink(draw(layout, albedo, colour, random)))


def _by_day(
    layout: Layout, albedo: Field, colour: Field, random: np.random.Generator
) -> NDArray[np.float64]:
    del colour  # nothing shines by day
    y, x = _rows(layout), np.arange(layout.side)[None, :]
    sun = random.uniform(0.85, 1.1) * (1 + random.uniform(-0.2, 0.2) * (x / layout.side - 0.5))
    light = sun * (1 - 0.4 * _shade(layout))
    image = albedo * light[..., None]
    is_sky = (_column(layout, "label") == 0)[..., None]
    image = np.where(is_sky, image * (0.85 + 0.35 * (y / layout.horizon))[..., None], image)
    haze = np.clip(1 - np.abs(y - layout.horizon) / (0.25 * layout.side), 0, 1)
    haze = (haze * random.uniform(0, 0.25))[..., None]
    return image * (1 - haze) + 0.8 * haze + 0.014 * random.standard_normal(image.shape)


def _by_night(
    layout: Layout, albedo: Field, colour: Field, random: np.random.Generator
) -> NDArray[np.float64]:
    y, x = _rows(layout), np.arange(layout.side)[None, :]
    light = np.ones_like(albedo) * random.uniform(0.035, 0.075) * np.array([0.8, 0.9, 1.15])
    for lamp in layout.lights:
        dx, dy = (x - lamp.x) / lamp.radius, (y - lamp.y - 0.35 * lamp.radius) / lamp.radius
        pool = lamp.power * np.exp(-1.6 * (dx**2 + (dy / 1.1) ** 2))
        light = light + 0.7 * pool[..., None] * np.array([1, 0.85, 0.55])
    image = albedo * light
    is_sky = (_column(layout, "label") == 0)[..., None]
    dark = np.array([0.02, 0.025, 0.05]) * (1 + 0.3 * _surface(layout)[..., None])
    image = np.where(is_sky, dark + 0.03 * (1 - y / layout.side)[..., None], image)
    glow = _column(layout, "glow")[..., None]
    image = image * (1 - glow) + glow * colour
    halo = 1.2 * gaussian_filter(glow[..., 0] * colour[..., 0], layout.side * 0.02)
    image = image + halo[..., None] * np.array([0.5, 0.42, 0.28])
    return image + 0.022 * random.standard_normal(image.shape)


def _column(layout: Layout, name: str) -> Field:
    """One material property at every supersampled pixel."""
    values = np.array([getattr(material, name) for material in layout.materials], np.float32)
    return values[layout.ids]


def _rows(layout: Layout) -> NDArray[np.int64]:
    return np.arange(layout.side)[:, None]


def _shade(layout: Layout) -> Field:
    """1 where a building out of sight throws its shadow on the ground, soft at the edge."""
    top, bottom = layout.shade_edge
    y, x = _rows(layout) / layout.side, np.arange(layout.side)[None, :]
    edge = top + (bottom - top) * y
    inside = 1 / (1 + np.exp(-(x - edge) / (0.015 * layout.side)))
    return (inside * (_column(layout, "label") != 0)).astype(np.float32)


def _surface(layout: Layout) -> Field:
    """The surface texture of the scene, shared by all its images."""
    return _texture(np.random.default_rng([layout.seed, _TEXTURE]), layout.side)


def _texture(random: np.random.Generator, side: int) -> Field:
    """Fractal noise [side, side], roughly standard normal in its coarse octaves."""
    field = np.zeros((side, side), np.float32)
    for cells, weight in ((8, 0.5), (24, 0.3), (64, 0.2), (128, 0.15)):
        grid = Image.fromarray(random.standard_normal((cells, cells)).astype(np.float32))
        field += weight * np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC))
    return field


def _shrink(image: NDArray[np.floating]) -> NDArray[np.float64]:
    s = SUPERSAMPLING
    height, width = image.shape[:2]
    blocks = image.reshape(height // s, s, width // s, s, *image.shape[2:])
    return blocks.mean(axis=(1, 3), dtype=np.float64)


def _to_bytes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(image * 255, 0, 255).astype(np.uint8)
