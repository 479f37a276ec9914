"""What stands where in a procedural street scene, and what each thing is made of.

A scene is a map of material indices (supersampled) and a table of materials: visible colour,
temperature, textures, glow. The renderers in `backbones.worlds.street` read nothing else.
Temperatures are in kelvin above the air of the scene; nothing here is calibrated.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

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

Colour = tuple[float, float, float] | NDArray[np.float64]
Part = Callable[..., int]  # (colour, heat, **material) -> drawing colour
Box = Callable[[float, float, float, float, int], None]  # left, top, right, bottom, colour


@dataclass(frozen=True)
class Material:
    label: int  # class id
    colour: Colour  # albedo, 0..1
    heat: float  # kelvin above the air
    texture: float = 0.05  # relative contrast of the visible texture
    heat_texture: float = 0.5  # kelvin
    glow: float = 0.0  # 0 reflects light .. 1 shines by itself
    emissivity: float = 0.95
    shift: float = 0.0  # shade of this instance in the semantic map


@dataclass(frozen=True)
class Light:
    """A lamp or headlight that brightens its surroundings at night (supersampled pixels)."""

    x: float
    y: float
    radius: float
    power: float


@dataclass
class Layout:
    seed: int
    night: bool
    side: int  # supersampled pixels
    horizon: float = 0.0
    shade_edge: tuple[float, float] = (0.0, 0.0)  # x of a cast shadow's edge at top and bottom
    materials: list[Material] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)
    ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))


class _Builder:
    """Draws things back to front into a map of material indices."""

    def __init__(self, seed: int, night: bool, panel_px: int) -> None:
        self.random = np.random.default_rng([seed, 0])
        self.uniform = self.random.uniform
        self.side = panel_px * SUPERSAMPLING
        self.night = night
        self.layout = Layout(seed, night, self.side)
        self._image = Image.new("I", (self.side, self.side), 0)
        self.draw = ImageDraw.Draw(self._image)

    def add(self, name: str, colour: Colour, heat: float, **more: float) -> int:
        """Register a material of class `name`; returns its index, used as the drawing colour."""
        self.layout.materials.append(Material(CLASSES.index(name), colour, heat, **more))
        return len(self.layout.materials) - 1

    def by_time(self, day: tuple[float, float], night: tuple[float, float]) -> float:
        return self.uniform(*(night if self.night else day))

    def finish(self) -> Layout:
        self.layout.ids = np.asarray(self._image).astype(np.int64)
        return self.layout

    def sky_and_ground(self) -> None:
        u, side = self.uniform, self.side
        cloudy = self.random.random() < 0.5
        colour = (0.75, 0.77, 0.8) if cloudy else (0.55, 0.68, 0.85)
        self.add("sky", colour, -u(8, 12) if cloudy else -u(14, 20), heat_texture=0.8)
        self.layout.horizon = side * u(0.36, 0.48)
        dry = u(-0.05, 0.05)  # dry grass is brighter, and warmer in the sun
        heat = self.by_time((1, 3), (-2, -0.5)) + (0 if self.night else 40 * dry)
        grass = (0.35 + dry, 0.42 + dry, 0.25)
        ground = self.add("terrain", grass, heat, texture=0.12, heat_texture=0.9)
        self.draw.rectangle([0, self.layout.horizon, side, side], fill=ground)
        self.layout.shade_edge = (side * u(-0.6, 1.6), side * u(-0.6, 1.6))

    def buildings(self) -> None:
        x = -self.uniform(0, 30)
        while x < self.side:
            width = self.uniform(0.14, 0.34) * self.side
            if self.random.random() < 0.75:
                self._building(x, width)
            x += width + self.uniform(-0.05, 0.10) * self.side

    def _building(self, x: float, width: float) -> None:
        u, horizon = self.uniform, self.layout.horizon
        height = u(0.12, 0.40) * self.side
        gray = u(0.3, 0.75)
        colour = np.array([gray * u(0.9, 1.15), gray, gray * u(0.8, 1.05)])
        # Dark walls take up more sun; at night a wall shows how well the house is heated.
        heat = u(1.5, 5.5) if self.night else u(2, 4) + 7 * (0.75 - gray)
        shift = float(self.random.integers(-12, 13))
        wall = self.add("building", colour, heat, shift=shift)
        top = horizon - height
        self.draw.rectangle([x, top, x + width - 1, horizon + 0.03 * self.side], fill=wall)
        columns, rows = int(self.random.integers(2, 6)), int(max(1, height // u(16, 26)))
        w, h = width / columns, height / rows
        for i in range(columns):
            for j in range(rows):
                left, upper = x + i * w + w * 0.22, top + j * h + h * 0.25
                window = self._window(heat, shift)
                self.draw.rectangle([left, upper, left + w * 0.56, upper + h * 0.55], fill=window)

    def _window(self, wall_heat: float, shift: float) -> int:
        u = self.uniform
        if self.night and self.random.random() < 0.4:
            lit = (0.95, 0.85, 0.5)
            heat = wall_heat + u(2.5, 5)  # someone is at home
            return self.add(
                "building", lit, heat, texture=0.02, glow=u(0.5, 0.95), emissivity=0.85, shift=shift
            )
        glass = np.array([0.22, 0.28, 0.35]) * u(0.8, 1.3)
        heat = wall_heat + (u(0.5, 2) if self.night else -u(2, 5))
        return self.add("building", glass, heat, texture=0.02, emissivity=0.85, shift=shift)

    def road(self) -> None:
        u, side, horizon = self.uniform, self.side, self.layout.horizon
        self.vanish = side * u(0.3, 0.7)
        self.left, self.right = side * u(-0.3, 0.2), side * u(0.8, 1.3)
        self.half = side * u(0.02, 0.05)
        top, bottom = (horizon, side)
        walk = self.add("sidewalk", (0.6, 0.58, 0.55), self.by_time((5, 9), (0.5, 2)))
        left, right = self.left - 0.22 * side, self.right + 0.22 * side
        self._strip(self.vanish, 2 * self.half, left, right, top, bottom, walk)
        gray = u(0.26, 0.44)
        # Dark asphalt is hotter by day; by night it still gives some of that back.
        heat = 11.5 + 30 * (0.35 - gray) + u(-1, 1) if not self.night else u(2.5, 5)
        self.road_heat = heat
        lane = self.add("road", (gray, gray, gray * 1.03), heat, heat_texture=0.9)
        self._strip(self.vanish, self.half, self.left, self.right, top, bottom, lane)
        self._lane_marks(self.add("road", (0.9, 0.9, 0.85), heat - 1, texture=0.03))

    def _strip(
        self, x: float, half: float, left: float, right: float, top: float, bottom: float, fill: int
    ) -> None:
        corners = [(x - half, top), (x + half, top), (right, bottom), (left, bottom)]
        self.draw.polygon(corners, fill=fill)

    def _lane_marks(self, paint: int) -> None:
        horizon, depth = self.layout.horizon, self.side - self.layout.horizon
        middle = (self.left + self.right) / 2
        for k in range(6):
            near, far = (k / 6) ** 1.6, ((k + 0.45) / 6) ** 1.6
            x0 = self.vanish + (middle - self.vanish) * near
            x1 = self.vanish + (middle - self.vanish) * far
            y0, y1, t = horizon + depth * near, horizon + depth * far, 1 + 4 * near
            self.draw.polygon(
                [(x0 - t * 0.5, y0), (x0 + t * 0.5, y0), (x1 + t * 0.6, y1), (x1 - t * 0.6, y1)],
                fill=paint,
            )

    def road_x(self, y: float, across: float) -> float:
        """x of the point `across` (0 left kerb .. 1 right kerb) of the road at height y."""
        depth = (y - self.layout.horizon) / (self.side - self.layout.horizon)
        left = self.vanish - self.half + (self.left - self.vanish + self.half) * depth
        right = self.vanish + self.half + (self.right - self.vanish - self.half) * depth
        return left + (right - left) * across

    def tree(self) -> None:
        u, side = self.uniform, self.side
        x, base = u(0, side), self.layout.horizon + u(0, 0.12) * side
        height = u(0.12, 0.34) * side
        trunk = self.add("tree", (0.3, 0.22, 0.15), u(0, 2), texture=0.1)
        green = (u(0.12, 0.25), u(0.3, 0.45), u(0.1, 0.2))
        heat = self.by_time((-1.5, 2.5), (-0.5, 1.5))
        leaves = self.add("tree", green, heat, texture=0.25, heat_texture=1.2)
        w = height * 0.05
        self.draw.rectangle([x - w, base - height * 0.5, x + w, base], fill=trunk)
        for _ in range(7):
            r, cx = height * u(0.14, 0.26), x + u(-0.26, 0.26) * height
            cy = base - height * u(0.45, 1.0)
            self.draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=leaves)

    def lamp(self) -> None:
        u, side = self.uniform, self.side
        base = self.layout.horizon + u(0.03, 0.3) * side
        across = float(self.random.choice([-0.08, 1.08]))
        x = self.road_x(base, across)
        height = 0.16 * side + 0.9 * (base - self.layout.horizon)
        w = max(1.2, height * 0.018)
        pole = self.add("lamp", (0.35, 0.35, 0.37), u(0, 3), texture=0.03)
        self.draw.rectangle([x - w, base - height, x + w, base], fill=pole)
        colour = (1, 0.95, 0.75) if self.night else (0.8, 0.8, 0.78)
        heat, glow = self.by_time((3, 6), (18, 26)), float(self.night)
        head = self.add("lamp", colour, heat, texture=0.02, heat_texture=0.2, glow=glow)
        reach = height * (0.16 if across < 0 else -0.16)
        top = base - height
        self.draw.rectangle(
            [min(x, x + reach), top - w * 1.5, max(x, x + reach), top + w * 1.5], fill=head
        )
        if self.night:
            self.layout.lights.append(Light(x + reach * 0.6, top, height * 0.9, u(0.35, 0.6)))

    def vehicle(self, base: float) -> None:
        u = self.uniform
        depth = (base - self.layout.horizon) / self.side
        x, w = self.road_x(base, u(0.1, 0.9)), (0.07 + 0.75 * depth) * self.side
        h = w * u(0.62, 0.8)
        paint = u(0.1, 0.9) * np.array([u(0.6, 1.2), u(0.6, 1.1), u(0.6, 1.2)])
        running = self.random.random() < 0.75
        shift = float(self.random.integers(-40, 41))
        # Dark paint heats up in the sun; at night the body is near the air.
        body_heat = u(-1.5, 1.5) if self.night else u(3, 6) + 5 * (0.5 - paint.mean())
        warm = self.road_heat + (2 if running else -u(1, 4))

        def part(colour: Colour, heat: float, **more: float) -> int:
            more = {"texture": 0.03, "emissivity": 0.9, "shift": shift} | more
            return self.add("vehicle", colour, heat, **more)

        def box(left: float, top: float, right: float, bottom: float, fill: int) -> None:
            self.draw.rectangle(
                [x + w * left, base - h * top, x + w * right, base - h * bottom], fill=fill
            )

        under = self.add("road", (0.12, 0.12, 0.12), warm, texture=0.03)
        self.draw.ellipse([x - w * 0.55, base - h * 0.1, x + w * 0.55, base + h * 0.07], fill=under)
        wheel = part((0.07, 0.07, 0.07), u(9, 16) if running else u(0, 3))
        box(-0.42, 0.2, -0.24, 0, wheel)
        box(0.24, 0.2, 0.42, 0, wheel)
        for colour, heat, wide, high, low in (
            (paint * 0.9, body_heat - 0.5, 0.30, 1.0, 0.55),
            ((0.15, 0.18, 0.22), body_heat - u(1, 3) + 3 * running, 0.25, 0.93, 0.58),
        ):  # cabin, then rear window
            roof, sill = base - h * high, base - h * low
            corners = [(x - w * wide, roof), (x + w * wide, roof)]
            corners += [(x + w * (wide + 0.12), sill), (x - w * (wide + 0.12), sill)]
            self.draw.polygon(corners, fill=part(colour, heat))
        box(-0.48, 0.57, 0.48, 0.13, part(paint, body_heat))
        box(-0.27, 0.45, 0.27, 0.2, part(paint * 0.8, u(16, 24) if running else u(1, 4)))
        self._vehicle_lights(x, base, w, h, running, part, box)

    def _vehicle_lights(
        self, x: float, base: float, w: float, h: float, running: bool, part: Part, box: Box
    ) -> None:
        bright = self.night and running and self.random.random() < 0.5
        colour = (1, 1, 0.9) if bright else (0.7, 0.2, 0.15)
        glow = 1.0 if bright else 0.25 * (self.night and running)
        light = part(colour, 12 if running else 1, heat_texture=0.2, glow=glow)
        box(-0.42, 0.47, -0.30, 0.34, light)
        box(0.30, 0.47, 0.42, 0.34, light)
        if bright:
            self.layout.lights.append(Light(x, base - h * 0.3, w * 0.7, 0.35))

    def person(self, base: float) -> None:
        u = self.uniform
        depth = (base - self.layout.horizon) / self.side
        places = [u(-0.2, 0.05), u(0.95, 1.2), u(0.1, 0.9)]  # sidewalks or crossing
        x = self.road_x(base, places[self.random.integers(3)])
        h = (0.15 + 0.66 * depth) * self.side
        w, shift = h * 0.42, float(self.random.integers(-30, 31))

        def part(colour: Colour, day: tuple[float, float], night: tuple[float, float]) -> int:
            return self.add("person", colour, self.by_time(day, night), texture=0.04, shift=shift)

        shirt = part((u(0.05, 0.7), u(0.05, 0.7), u(0.05, 0.7)), (8, 12), (9, 14))
        trousers = part((u(0.05, 0.4),) * 3, (7, 10), (7, 11))
        skin = part(np.array([0.75, 0.58, 0.48]) * u(0.5, 1.1), (12, 15), (15, 20))
        stride = u(0, 0.16)
        hip = base - h * 0.48
        near, far = w * (0.06 + stride), w * (0.30 + stride)
        for sign in (-1, 1):  # two legs
            leg = [(x, hip), (x + sign * w * 0.24, hip), (x + sign * far, base)]
            self.draw.polygon([*leg, (x + sign * near, base)], fill=trousers)
        torso = [x - w * 0.36, base - h * 0.84, x + w * 0.36, base - h * 0.44]
        self.draw.rounded_rectangle(torso, radius=max(1, w * 0.12), fill=shirt)
        r = h * 0.09
        self.draw.ellipse([x - r, base - h, x + r, base - h + 2.1 * r], fill=skin)

    def movers(self) -> None:
        """Vehicles and people, the far ones first so that near ones cover them."""
        horizon, side = self.layout.horizon, self.side
        movers = [
            (horizon + self.uniform(0.06, 0.42) * side, self.vehicle)
            for _ in range(self.random.integers(0, 4))
        ] + [
            (horizon + self.uniform(0.06, 0.45) * side, self.person)
            for _ in range(self.random.integers(1, 5))
        ]
        for base, draw in sorted(movers, key=lambda mover: mover[0]):
            draw(base)


def build_layout(seed: int, *, night: bool, panel_px: int) -> Layout:
    """The scene of this seed. `panel_px` is the side of the finished square images."""
    builder = _Builder(seed, night, panel_px)
    builder.sky_and_ground()
    builder.buildings()
    builder.road()
    for _ in range(builder.random.integers(0, 5)):
        builder.tree()
    for _ in range(builder.random.integers(0, 4)):
        builder.lamp()
    builder.movers()
    return builder.finish()
