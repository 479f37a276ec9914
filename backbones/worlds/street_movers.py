"""Vehicles and people of a street scene: hot where they burn fuel, else as their weather is."""

from collections.abc import Callable

import numpy as np

from backbones.worlds.street_canvas import Canvas, Paint
from backbones.worlds.street_layout import Light

Part = Callable[..., int]  # (colour, heat, **material) -> drawing colour
Box = Callable[[float, float, float, float, int], None]  # left, top, right, bottom, colour

_SNOW = (0.86, 0.88, 0.93)
_HEADLIGHT, _TAIL_LIGHT = (1.0, 1.0, 0.9), (1.0, 0.25, 0.15)


def draw_movers(canvas: Canvas) -> None:
    """Draw up to 3 vehicles and 1 to 4 people, the far ones first so that near ones cover them."""
    horizon, side, random = canvas.layout.horizon, canvas.side, canvas.random
    movers = [
        (horizon + canvas.uniform(0.08, 0.42) * side, _vehicle)
        for _ in range(random.integers(0, 4))
    ] + [
        (horizon + canvas.uniform(0.16, 0.46) * side, _person) for _ in range(random.integers(1, 5))
    ]
    for base, draw in sorted(movers, key=lambda mover: mover[0]):
        draw(canvas, base)


def _vehicle(canvas: Canvas, base: float) -> None:
    u = canvas.uniform
    depth = (base - canvas.layout.horizon) / canvas.side
    x, w = canvas.road_x(base, u(0.1, 0.9)), (0.09 + 0.8 * depth) * canvas.side
    h = w * u(0.62, 0.8)
    paint = u(0.1, 0.9) * np.array([u(0.6, 1.2), u(0.6, 1.1), u(0.6, 1.2)])
    running = bool(canvas.random.random() < 0.65)
    shift = float(canvas.random.integers(-40, 41))
    body = canvas.surface("vehicle") + 4 * running

    def part(colour: Paint, heat: float, **more: float) -> int:
        # The engine and the road warm the lower body; the roof is left to the sky.
        shape = {"foot": base, "span": h, "rise": -5.0}
        return canvas.add(
            "vehicle", colour, heat, texture=0.03, emissivity=0.9, shift=shift, **shape, **more
        )

    def box(left: float, top: float, right: float, bottom: float, fill: int) -> None:
        canvas.draw.rectangle(
            [x + w * left, base - h * top, x + w * right, base - h * bottom], fill=fill
        )

    # Under a running car the road is warmed; under a parked one it has seen neither sun nor sky.
    warm = canvas.surface("road") + (6 if running else 0)
    under = canvas.add("road", (0.12, 0.12, 0.12), warm, texture=0.03, facing=0)
    canvas.draw.ellipse([x - w * 0.55, base - h * 0.1, x + w * 0.55, base + h * 0.07], fill=under)
    wheel = part((0.07, 0.07, 0.07), 16 if running else body, facing=0.3)
    box(-0.42, 0.2, -0.24, 0, wheel)
    box(0.24, 0.2, 0.42, 0, wheel)
    roof = _SNOW if canvas.weather.snow and not running else paint * 0.9
    for colour, heat, wide, high, low in (
        (roof, body - 1, 0.30, 1.0, 0.55),
        ((0.15, 0.18, 0.22), body + (4 if running else -2), 0.25, 0.93, 0.58),
    ):  # cabin, then rear window
        top, sill = base - h * high, base - h * low
        corners = [(x - w * wide, top), (x + w * wide, top)]
        corners += [(x + w * (wide + 0.12), sill), (x - w * (wide + 0.12), sill)]
        canvas.draw.polygon(corners, fill=part(colour, heat))
    box(-0.48, 0.57, 0.48, 0.13, part(paint, body))
    box(-0.27, 0.45, 0.27, 0.2, part(paint * 0.8, 22 if running else body + 1, facing=0.5))
    _lights(canvas, x, base, w, h, running, part, box)


def _lights(
    canvas: Canvas,
    x: float,
    base: float,
    w: float,
    h: float,
    running: bool,
    part: Part,
    box: Box,
) -> None:
    """A running car has its lights on at any hour, so the photo tells it from a parked one."""
    front = canvas.random.random() < 0.5
    shine = _HEADLIGHT if front else _TAIL_LIGHT
    colour = np.array(shine) * (1.0 if running else 0.3)
    heat = 14 if running else canvas.surface("vehicle")
    glow = float(canvas.night and running) * (1.0 if front else 0.7)
    light = canvas.shining(part(colour, heat, heat_texture=0.2, glow=glow), shine)
    box(-0.42, 0.47, -0.27, 0.32, light)
    box(0.27, 0.47, 0.42, 0.32, light)
    if canvas.night and running:
        power = 0.35 if front else 0.12
        canvas.layout.lights.append(Light(x, base - h * 0.3, w * 0.7, power))


def _person(canvas: Canvas, base: float) -> None:
    u = canvas.uniform
    depth = (base - canvas.layout.horizon) / canvas.side
    places = [u(-0.2, 0.05), u(0.95, 1.2), u(0.1, 0.9)]  # sidewalks or crossing
    x = canvas.road_x(base, places[canvas.random.integers(3)])
    x = float(np.clip(x, 0.04 * canvas.side, 0.96 * canvas.side))
    h = (0.19 + 0.62 * depth) * canvas.side
    w, shift = h * 0.46, float(canvas.random.integers(-30, 31))

    def part(colour: Paint, day: float, night: float) -> int:
        heat = (night if canvas.night else day) + u(-0.7, 0.7)
        # Clothes hang looser, and cooler, from the head down.
        return canvas.add(
            "person", colour, heat, texture=0.04, shift=shift, foot=base, span=h, rise=4
        )

    shirt = part((u(0.05, 0.7), u(0.05, 0.7), u(0.05, 0.7)), 14, 21)
    trousers = part((u(0.05, 0.4),) * 3, 13, 21)
    skin = part(np.array([0.75, 0.58, 0.48]) * u(0.5, 1.1), 18, 24)
    stride = u(0, 0.16)
    hip = base - h * 0.48
    near, far = w * (0.06 + stride), w * (0.30 + stride)
    for sign in (-1, 1):  # two legs
        leg = [(x, hip), (x + sign * w * 0.24, hip), (x + sign * far, base)]
        canvas.draw.polygon([*leg, (x + sign * near, base)], fill=trousers)
    torso = [x - w * 0.37, base - h * 0.84, x + w * 0.37, base - h * 0.44]
    canvas.draw.rounded_rectangle(torso, radius=max(1, w * 0.12), fill=shirt)
    r = h * 0.09
    canvas.draw.ellipse([x - r, base - h, x + r, base - h + 2.1 * r], fill=skin)
