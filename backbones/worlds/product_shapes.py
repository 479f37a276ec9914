"""Product outlines of the table-top world as signed distance functions.

A shape takes the product's own coordinates u, v (right, down; in product radii) and returns the
signed distance of the body (negative inside) and coloured parts drawn over it, such as a cap, a
stone or a chain, which keep their colour whatever the product's colour is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Outline:
    distance: Array
    parts: tuple[tuple[Array, Colour], ...] = ()


def _box(u: Array, v: Array, half_u: float, half_v: float, corner: float) -> Array:
    du, dv = np.abs(u) - half_u + corner, np.abs(v) - half_v + corner
    outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
    return outside + np.minimum(np.maximum(du, dv), 0) - corner


def _segment(
    u: Array, v: Array, start: tuple[float, float], end: tuple[float, float], half_width: float
) -> Array:
    pu, pv = u - start[0], v - start[1]
    along_u, along_v = end[0] - start[0], end[1] - start[1]
    share = np.clip((pu * along_u + pv * along_v) / (along_u**2 + along_v**2), 0, 1)
    return np.hypot(pu - share * along_u, pv - share * along_v) - half_width


def _ball(u: Array, v: Array) -> Outline:
    return Outline(np.hypot(u, v) - 0.82)


def _carton(u: Array, v: Array) -> Outline:
    return Outline(_box(u, v, 0.72, 0.72, 0.08))


def _ring(u: Array, v: Array) -> Outline:
    band = np.abs(np.hypot(u, v - 0.15) - 0.60) - 0.19
    stone = np.abs(u) + np.abs(v + 0.68) - 0.30
    return Outline(band, ((stone, (0.80, 0.93, 0.98)),))


def _mug(u: Array, v: Array) -> Outline:
    handle = np.abs(np.hypot(u - 0.42, v) - 0.36) - 0.11
    return Outline(np.minimum(_box(u + 0.18, v, 0.55, 0.68, 0.12), handle))


def _bottle(u: Array, v: Array) -> Outline:
    body, neck = _box(u, v - 0.32, 0.42, 0.62, 0.16), _box(u, v + 0.50, 0.17, 0.40, 0.03)
    cap = _box(u, v + 0.86, 0.21, 0.12, 0.03)
    return Outline(np.minimum(body, neck), ((cap, (0.25, 0.22, 0.20)),))


def _star(u: Array, v: Array) -> Outline:
    sector = 2 * np.pi / 5
    angle = np.abs((np.arctan2(u, -v) + sector / 2) % sector - sector / 2)
    radius = np.hypot(u, v)
    across, along = radius * np.sin(angle), radius * np.cos(angle)
    tip = 0.98
    notch = 0.45 * np.sin(sector / 2), 0.45 * np.cos(sector / 2)
    normal_u, normal_v = tip - notch[1], notch[0]
    distance = (across * normal_u + (along - tip) * normal_v) / np.hypot(normal_u, normal_v)
    return Outline(distance)


def _pendant(u: Array, v: Array) -> Outline:
    drop = np.hypot(u, v - 0.32) - 0.52
    shoulder = np.maximum(np.maximum(0.86 * np.abs(u) - 0.5 * (v + 0.62), v - 0.3), -v - 0.62)
    chain = np.minimum(
        _segment(u, v, (0.0, -0.6), (-0.62, -1.15), 0.07),
        _segment(u, v, (0.0, -0.6), (0.62, -1.15), 0.07),
    )
    return Outline(np.minimum(drop, shoulder), ((chain, (0.86, 0.72, 0.30)),))


def _watch(u: Array, v: Array) -> Outline:
    radius = np.hypot(u, v)
    hands = np.minimum(
        _segment(u, v, (0.0, 0.0), (0.0, -0.30), 0.055),
        _segment(u, v, (0.0, 0.0), (0.22, 0.10), 0.055),
    )
    dial = radius - 0.42
    return Outline(
        np.minimum(_box(u, v, 0.30, 1.0, 0.06), radius - 0.60),
        ((dial, (0.95, 0.95, 0.93)), (hands, (0.10, 0.10, 0.12))),
    )


SHAPES: dict[str, Callable[[Array, Array], Outline]] = {
    "ring": _ring,
    "watch": _watch,
    "pendant": _pendant,
    "mug": _mug,
    "bottle": _bottle,
    "box": _carton,
    "ball": _ball,
    "star": _star,
}
