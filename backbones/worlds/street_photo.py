"""The visible camera of the street world: a scene by day or by night, in its weather."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from backbones.worlds import street_fields as fields
from backbones.worlds.street_layout import Layout
from backbones.worlds.street_weather import Kind

Image = NDArray[np.floating]

_DAYLIGHT: dict[Kind, float] = {"clear": 0.5, "overcast": 0.82, "snow": 0.8, "wet": 0.62}
_CLOUD_BY_DAY: dict[Kind, tuple[float, float, float]] = {
    "clear": (0.95, 0.95, 0.97),
    "overcast": (0.76, 0.78, 0.8),
    "snow": (0.88, 0.89, 0.92),
    "wet": (0.5, 0.53, 0.57),
}
# Clouds hang in the light of the town; snow throws more of it back up.
_CLOUD_BY_NIGHT: dict[Kind, tuple[float, float, float]] = {
    "clear": (0.07, 0.065, 0.07),
    "overcast": (0.12, 0.085, 0.06),
    "snow": (0.13, 0.11, 0.12),
    "wet": (0.06, 0.065, 0.075),
}
_BLUE, _DARK = np.array([0.45, 0.63, 0.88]), np.array([0.015, 0.02, 0.05])


def photo(layout: Layout, night: bool, stream: int) -> NDArray[np.uint8]:
    """The photo [H, W, 3] of the scene by night or by day; `stream` seeds its noise."""
    random = np.random.default_rng([layout.seed, stream])
    draw = _by_night if night else _by_day
    return fields.to_bytes(fields.shrink(draw(layout, _albedo(layout), random)))


def _albedo(layout: Layout) -> Image:
    texture = fields.column(layout, "texture") * fields.surface(layout)
    albedo = fields.column(layout, "colour") * (1 + 1.6 * texture[..., None])
    darker = (0.6 if layout.weather.snow else 0.2) * np.minimum(fields.tracks(layout), 1)
    darker = darker + (0.3 if layout.weather.wet else 0) * fields.is_ground(layout)
    lower = fields.column(layout, "dim") * (1 - fields.elevation(layout))
    return albedo * ((1 - darker) * (1 - lower))[..., None]


def _by_day(layout: Layout, albedo: Image, random: np.random.Generator) -> Image:
    weather, y = layout.weather, fields.rows(layout)
    ambient = _DAYLIGHT[weather.kind] * random.uniform(0.93, 1.07)
    warm = np.array([0.72, 0.67, 0.56])  # direct sunlight; the sky fills shadows with blue
    sun = fields.sunlight(layout)[..., None]
    shadow_blue = np.array([0.96, 1, 1.06]) if weather.sun else np.ones(3)
    image = albedo * (ambient * shadow_blue + sun * warm)
    cloud = fields.clouds(layout)[..., None]
    sky = cloud * np.array(_CLOUD_BY_DAY[weather.kind]) + (1 - cloud) * _BLUE
    sky = sky * (1 + 0.05 * fields.surface(layout)[..., None])
    sky = sky * (0.85 + 0.25 * (y / layout.horizon))[..., None]
    image = np.where(fields.is_class(layout, "sky")[..., None], sky, image)
    mirror = 0.55 * fields.puddles(layout)[..., None]
    image = image * (1 - mirror) + mirror * sky[0].mean(axis=0)
    haze = np.clip(1 - np.abs(y - layout.horizon) / (0.25 * layout.side), 0, 1)
    haze = (haze * random.uniform(0, 0.2))[..., None]
    image = image * (1 - haze) + 0.8 * ambient * haze
    return np.asarray(image + 0.014 * random.standard_normal(image.shape))


def _by_night(layout: Layout, albedo: Image, random: np.random.Generator) -> Image:
    is_sky = fields.is_class(layout, "sky")[..., None]
    image = albedo * _lamplight(layout, random)
    image = np.where(is_sky, _night_sky(layout, random), image)
    glow = fields.column(layout, "glow")[..., None]
    shine = glow * fields.column(layout, "shine")
    image = image * (1 - glow) + shine
    if layout.weather.wet:  # wet ground draws every light out downwards
        s = layout.side
        streaks = np.stack(
            [
                gaussian_filter(np.roll(shine[..., c], s // 8, 0), (s * 0.09, s * 0.006))
                for c in range(3)
            ],
            -1,
        )
        image = image + 1.5 * streaks * fields.is_ground(layout)[..., None]
    halo = 1.2 * gaussian_filter(shine[..., 0], layout.side * 0.02)
    image = image + halo[..., None] * np.array([0.5, 0.42, 0.28])
    return np.asarray(image + 0.022 * random.standard_normal(image.shape))


def _lamplight(layout: Layout, random: np.random.Generator) -> Image:
    y, x = fields.rows(layout), np.arange(layout.side)[None, :]
    dim = random.uniform(0.06, 0.08) if layout.weather.snow else random.uniform(0.04, 0.07)
    light = np.ones((layout.side, layout.side, 3)) * dim * np.array([0.8, 0.9, 1.15])
    for lamp in layout.lights:
        dx, dy = (x - lamp.x) / lamp.radius, (y - lamp.y - 0.35 * lamp.radius) / lamp.radius
        pool = lamp.power * np.exp(-1.6 * (dx**2 + (dy / 1.1) ** 2))
        light = light + 0.7 * pool[..., None] * np.array([1, 0.85, 0.55])
    return light


def _night_sky(layout: Layout, random: np.random.Generator) -> Image:
    cloud = fields.clouds(layout)[..., None]
    low = 0.6 + 0.4 * fields.rows(layout)[..., None] / layout.horizon  # town light fades upwards
    lit = np.array(_CLOUD_BY_NIGHT[layout.weather.kind]) * low
    lit = lit * (1 + 0.15 * fields.surface(layout)[..., None])
    stars = (random.random((layout.side, layout.side)) > 0.996) * random.uniform(0.5, 1.2)
    return cloud * lit + (1 - cloud) * (_DARK + stars[..., None])
