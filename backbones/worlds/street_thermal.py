"""The thermal camera of the street world: what each surface radiates and mirrors.

Temperatures follow from what a thing is, from the weather and the hour, from sun and shade and
from where it stands. Little is left that neither photo nor map tells: weak texture and noise.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from backbones.worlds import street_fields as fields
from backbones.worlds.street_layout import Layout
from backbones.worlds.street_weather import CLEAR_SKY

COLDEST, HOTTEST = -27.0, 28.0  # the camera's fixed range, kelvin above the air
_NOISE = 0.006  # of the range
_FADE = 0.035  # of the image height below the horizon: half of a road's contrast is left there


def thermogram(layout: Layout, stream: int) -> NDArray[np.uint8]:
    """The thermal image [H, W]: 0 at `COLDEST`, 255 at `HOTTEST`."""
    random = np.random.default_rng([layout.seed, stream])
    sky = _sky(layout)
    heat = np.where(fields.is_class(layout, "sky"), sky, _seen(layout, _surfaces(layout), sky))
    heat = gaussian_filter(heat, layout.side * 0.0032)
    image = fields.shrink((heat - COLDEST) / (HOTTEST - COLDEST))
    return fields.to_bytes(image + _NOISE * random.standard_normal(image.shape))


def _sky(layout: Layout) -> fields.Field:
    """A clear sky is far colder overhead than at the horizon; clouds are near the air."""
    high = np.clip(1 - fields.rows(layout) / layout.horizon, 0, 1) ** 0.55

    def gradient(ends: tuple[float, float]) -> fields.Field:
        return (ends[0] + (ends[1] - ends[0]) * high).astype(np.float32)

    cloud = fields.clouds(layout)
    return cloud * gradient(layout.weather.cloud) + (1 - cloud) * gradient(CLEAR_SKY)


def _surfaces(layout: Layout) -> fields.Field:
    """Temperature of every surface; that of the sky's pixels means nothing."""
    heat = fields.column(layout, "heat")
    heat = heat + fields.column(layout, "rise") * (fields.elevation(layout) - 0.5)
    # What is darker in a surface takes up more sun.
    heat = heat - 0.8 * fields.column(layout, "heat_texture") * fields.surface(layout)
    if not layout.night:
        heat = heat + fields.column(layout, "solar") * fields.sunlight(layout)
    return heat + (8.0 if layout.weather.snow else 3.5) * fields.tracks(layout)


def _seen(layout: Layout, heat: fields.Field, sky: fields.Field) -> fields.Field:
    """Glass, metal and water mirror the sky, and so does all ground at a grazing angle."""
    zenith, low = float(sky[0].mean()), float(sky[int(layout.horizon)].mean())
    emissivity = fields.column(layout, "emissivity") * (1 - 0.35 * fields.puddles(layout))
    mirrored = emissivity * heat + (1 - emissivity) * zenith
    below = np.maximum(fields.rows(layout) - layout.horizon, 0) / layout.side
    near = np.where(fields.is_ground(layout), below / (below + _FADE), 1)
    return (mirrored * near + low * (1 - near)).astype(np.float32)
