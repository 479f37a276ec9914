"""What stands where in a procedural street scene: sky, ground, houses, trees, lamps, movers."""

import numpy as np

from backbones.worlds.street_canvas import Canvas
from backbones.worlds.street_layout import Layout, Light, Road
from backbones.worlds.street_movers import draw_movers

_SNOW = np.array([0.86, 0.88, 0.93])
_GLASS = np.array([0.22, 0.28, 0.35])
_LAMPLIT = (0.95, 0.85, 0.5)


def build_layout(seed: int, *, night: bool, panel_px: int) -> Layout:
    """The scene of this seed. `panel_px` is the side of the finished square images."""
    canvas = Canvas(seed, night, panel_px)
    _sky_and_ground(canvas)
    _buildings(canvas)
    _road(canvas)
    for _ in range(canvas.random.integers(0, 5)):
        _tree(canvas)
    for _ in range(canvas.random.integers(0, 4)):
        _lamp(canvas)
    draw_movers(canvas)
    return canvas.finish()


def _sky_and_ground(canvas: Canvas) -> None:
    u, side, layout = canvas.uniform, canvas.side, canvas.layout
    canvas.add("sky", (0.7, 0.75, 0.8), 0)  # the cameras paint skies themselves
    layout.horizon = side * u(0.36, 0.48)
    dry = u(-0.05, 0.08)  # dry grass is brighter, and warmer for want of water
    heat = canvas.surface("terrain") + (0 if canvas.night else 20 * dry)
    colour = _SNOW if canvas.weather.snow else (0.35 + 1.3 * dry, 0.42 + dry, 0.25)
    ground = canvas.add("terrain", colour, heat, texture=0.12, heat_texture=1.2)
    canvas.draw.rectangle([0, layout.horizon, side, side], fill=ground)
    middle, lean = u(0.0, 1.0), u(-0.5, 0.5)
    layout.shade_edge = (side * (middle - lean), side * (middle + lean))


def _buildings(canvas: Canvas) -> None:
    x = -canvas.uniform(0, 30)
    while x < canvas.side:
        width = canvas.uniform(0.14, 0.34) * canvas.side
        if canvas.random.random() < 0.75:
            _building(canvas, x, width)
        x += width + canvas.uniform(-0.05, 0.10) * canvas.side


def _building(canvas: Canvas, x: float, width: float) -> None:
    """A house seen at its corner: one face to the sun, one turned away."""
    u, horizon, side = canvas.uniform, canvas.layout.horizon, canvas.side
    height, gray = u(0.12, 0.40) * side, u(0.25, 0.8)
    colour = np.array([gray * u(0.9, 1.15), gray, gray * u(0.8, 1.05)])
    shift = float(canvas.random.integers(-12, 13))
    top, bottom = horizon - height, horizon + 0.03 * side
    corner = x + width * u(0.25, 0.75)
    columns, rows = int(canvas.random.integers(2, 6)), int(max(1, height // u(16, 26)))
    home = u(0, 0.9)  # share of the windows that are lit at night: who is at home heats
    heat = canvas.surface("building") + (7 * home if canvas.night else 0)
    # Walls are warmest where the ground floor and the street warm them.
    shape = {"foot": bottom, "span": height + 0.03 * side, "shift": shift}
    shape["rise"] = -9.0 if canvas.night else -4.0
    faces = [(x, corner, -1), (corner, x + width - 1, 1)]
    for left, right, turned in faces:
        facing = 1.0 if turned == canvas.weather.sun_side else 0.0
        wall = canvas.add("building", colour, heat, facing=facing, **shape)
        canvas.draw.rectangle([left, top, right, bottom], fill=wall)
    w, h = width / columns, height / rows
    for i in range(columns):
        for j in range(rows):
            left, upper = x + i * w + w * 0.22, top + j * h + h * 0.25
            lit = canvas.random.random() < home and canvas.night
            window = _window(canvas, heat, lit, shape)
            canvas.draw.rectangle([left, upper, left + w * 0.56, upper + h * 0.55], fill=window)
    if canvas.weather.snow:
        cap = canvas.add("building", _SNOW, canvas.surface("terrain"), shift=shift)
        canvas.draw.rectangle([x, top - 0.012 * side, x + width - 1, top], fill=cap)


def _window(canvas: Canvas, wall: float, lit: bool, shape: dict[str, float]) -> int:
    """Heated rooms leak through glass, most in winter; in the sun it mirrors a colder sky."""
    more = {"texture": 0.02, "emissivity": 0.82, "facing": 0.2} | shape
    if lit:
        glow = canvas.uniform(0.6, 0.95)
        return canvas.shining(canvas.add("building", _GLASS, wall + 9, glow=glow, **more), _LAMPLIT)
    leak = 6.0 if canvas.weather.snow else 1.0
    return canvas.add("building", _GLASS * canvas.uniform(0.8, 1.3), wall + leak, **more)


def _road(canvas: Canvas) -> None:
    u, side = canvas.uniform, canvas.side
    road = Road(side * u(0.3, 0.7), side * u(0.02, 0.05), side * u(-0.3, 0.2), side * u(0.8, 1.3))
    canvas.layout.road = road
    snow = canvas.weather.snow
    stone = 0.9 * _SNOW if snow else (0.6, 0.58, 0.55)
    walk = canvas.add("sidewalk", stone, canvas.surface("sidewalk"), heat_texture=0.8)
    edges = (road.left - 0.22 * side, road.right + 0.22 * side)
    _strip(canvas, road.vanish, 2 * road.half, *edges, walk)
    gray = u(0.24, 0.46)
    asphalt = 0.75 * _SNOW if snow else (gray, gray, gray * 1.03)
    heat = canvas.surface("road")
    lane = canvas.add("road", asphalt, heat, heat_texture=1.0, texture=0.07, tracked=1)
    _strip(canvas, road.vanish, road.half, road.left, road.right, lane)
    if not snow:
        _lane_marks(canvas, canvas.add("road", (0.9, 0.9, 0.85), heat - 1, texture=0.03))


def _strip(canvas: Canvas, x: float, half: float, left: float, right: float, fill: int) -> None:
    top, bottom = canvas.layout.horizon, canvas.side
    corners = [(x - half, top), (x + half, top), (right, bottom), (left, bottom)]
    canvas.draw.polygon(corners, fill=fill)


def _lane_marks(canvas: Canvas, paint: int) -> None:
    road, horizon = canvas.layout.road, canvas.layout.horizon
    depth, middle = canvas.side - horizon, (road.left + road.right) / 2
    for k in range(6):
        near, far = (k / 6) ** 1.6, ((k + 0.45) / 6) ** 1.6
        x0 = road.vanish + (middle - road.vanish) * near
        x1 = road.vanish + (middle - road.vanish) * far
        y0, y1, t = horizon + depth * near, horizon + depth * far, 1 + 4 * near
        canvas.draw.polygon(
            [(x0 - t * 0.5, y0), (x0 + t * 0.5, y0), (x1 + t * 0.6, y1), (x1 - t * 0.6, y1)],
            fill=paint,
        )


def _tree(canvas: Canvas) -> None:
    u, side = canvas.uniform, canvas.side
    x, base = u(0, side), canvas.layout.horizon + u(0, 0.12) * side
    height = u(0.12, 0.34) * side
    heat = canvas.surface("tree")
    trunk = canvas.add("tree", (0.3, 0.22, 0.15), heat + 1, texture=0.1)
    green = np.array([u(0.12, 0.25), u(0.3, 0.45), u(0.1, 0.2)])
    if canvas.weather.snow:
        green = 0.6 * green + 0.4 * _SNOW
    # The top sees the sun by day and the cold sky by night; the inside is dark and near the air.
    shape = {"foot": base - height * 0.35, "span": height * 0.75, "dim": 0.6}
    leaves = canvas.add(
        "tree", green, heat, texture=0.25, heat_texture=1.2, **shape, rise=-3 if canvas.night else 4
    )
    w = height * 0.05
    canvas.draw.rectangle([x - w, base - height * 0.5, x + w, base], fill=trunk)
    for _ in range(7):
        r, cx = height * u(0.14, 0.26), x + u(-0.26, 0.26) * height
        cy = base - height * u(0.45, 1.0)
        canvas.draw.ellipse([cx - r, cy - r, cx + r, cy + r], fill=leaves)


def _lamp(canvas: Canvas) -> None:
    u, side = canvas.uniform, canvas.side
    base = canvas.layout.horizon + u(0.03, 0.3) * side
    across = float(canvas.random.choice([-0.08, 1.08]))
    x = canvas.road_x(base, across)
    height = 0.16 * side + 0.9 * (base - canvas.layout.horizon)
    w = max(1.2, height * 0.018)
    heat = canvas.surface("lamp")
    pole = canvas.add("lamp", (0.35, 0.35, 0.37), heat, texture=0.03)
    canvas.draw.rectangle([x - w, base - height, x + w, base], fill=pole)
    warm = 24.0 if canvas.night else heat + 2
    head = canvas.add("lamp", (0.8, 0.8, 0.78), warm, glow=float(canvas.night), texture=0.02)
    head = canvas.shining(head, (1.0, 0.95, 0.75))
    reach = height * (0.16 if across < 0 else -0.16)
    top = base - height
    canvas.draw.rectangle(
        [min(x, x + reach), top - w * 1.5, max(x, x + reach), top + w * 1.5], fill=head
    )
    if canvas.night:
        canvas.layout.lights.append(Light(x + reach * 0.6, top, height * 0.9, u(0.35, 0.6)))
