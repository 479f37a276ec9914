"""A procedural world of products on a table top: short clips, product photos, masks, captions.

Everything follows from a `numpy.random.Generator`, so a seed is a data set. A clip shows one
product (class, colour, pattern) on a textured surface, under one of eight motions; a packshot
shows the same product on a plain light backdrop, in another pose. Shapes are signed distance
functions, so that a mask is exact and edges are anti-aliased at any scale.

Coordinates: x right and y down, a square frame spans [-0.5, 0.5] in both; u, v are the product's
own axes in units of its radius. Colours are RGB in 0..1.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backbones.worlds.product_shapes import SHAPES, Array, Colour

FRAMES = 17
FRAME_PX = 96
CLASSES = tuple(SHAPES)
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 38, 42),
    "orange": (238, 130, 32),
    "yellow": (238, 214, 58),
    "green": (46, 158, 66),
    "blue": (45, 88, 212),
    "purple": (142, 58, 182),
    "white": (238, 238, 236),
    "black": (36, 36, 42),
}
PATTERNS = ("plain", "striped", "dotted", "checkered")
BACKDROPS: dict[str, tuple[int, int, int]] = {
    "gray": (150, 150, 152),
    "beige": (214, 196, 164),
    "brown": (140, 98, 62),
    "pink": (226, 168, 182),
    "teal": (70, 140, 142),
    "navy": (48, 58, 104),
    "lime": (168, 200, 110),
    "cream": (240, 232, 212),
}
SURFACES = ("silk", "wood", "marble", "table")
MOTIONS = (
    "sliding left",
    "sliding right",
    "sliding up",
    "sliding down",
    "rotating",
    "zooming in",
    "zooming out",
    "standing still",
)
PHOTO_SURFACE = "backdrop"  # the word captions use for a packshot's plain ground

_TRAVEL = 0.36  # frame widths a sliding product covers at speed 1
_TURN = 2.4  # radians a rotating product turns at speed 1
_ZOOM = 1.3  # a zoom runs from 1 / _ZOOM to _ZOOM at speed 1
_SHADOW_OFFSET = (0.16, 0.20)  # in product radii
_SHADOW_DEPTH = 0.34


@dataclass(frozen=True)
class Product:
    """One product: what a caption can name, and the jittered colours only a photo can tell."""

    category: str
    colour: str
    pattern: str
    base: Colour
    second: Colour
    pattern_frequency: float
    pattern_angle: float


@dataclass(frozen=True)
class Scene:
    """Surface, motion and first pose of a clip; the product is independent of it."""

    motion: str
    backdrop: str
    surface: str
    tint: Colour
    radius: float
    x: float
    y: float
    angle: float
    speed: float
    turn: float
    grain_angle: float
    phases: tuple[float, float, float, float]


@dataclass(frozen=True)
class Clip:
    """video (n, h, w, 3) and product mask (n, h, w), both float32 in 0..1."""

    video: NDArray[np.float32]
    mask: NDArray[np.float32]


# ------------------------------------------------------------------------------- drawing lots


def _jitter(rng: np.random.Generator, rgb: tuple[int, int, int], amount: float) -> Colour:
    hue = rng.uniform(-amount, amount, 3)
    brightness = rng.uniform(-amount, amount)
    red, green, blue = (np.clip(np.asarray(rgb) + hue + brightness, 5, 250) / 255).tolist()
    return red, green, blue


def draw_product(
    rng: np.random.Generator,
    category: str | None = None,
    colour: str | None = None,
    pattern: str | None = None,
) -> Product:
    """A product; what is not asked for is drawn."""
    category = category or str(rng.choice(CLASSES))
    colour = colour or str(rng.choice(list(COLOURS)))
    pattern = pattern or str(rng.choice(PATTERNS))
    base = _jitter(rng, COLOURS[colour], 16)
    luminance = float(np.dot(base, (0.30, 0.59, 0.11)))
    # the second colour must stand out from the first
    second = (0.14, 0.14, 0.17) if luminance > 0.62 else (0.95, 0.94, 0.92)
    return Product(
        category,
        colour,
        pattern,
        base,
        second,
        float(rng.uniform(2.0, 2.6)),
        float(rng.uniform(-0.5, 0.5)),
    )


def draw_scene(
    rng: np.random.Generator,
    motion: str | None = None,
    backdrop: str | None = None,
    surface: str | None = None,
) -> Scene:
    """A scene; what is not asked for is drawn."""
    motion = motion or str(rng.choice(MOTIONS))
    backdrop = backdrop or str(rng.choice(list(BACKDROPS)))
    surface = surface or str(rng.choice(SURFACES))
    first, second, third, fourth = rng.uniform(0, 2 * np.pi, 4).tolist()
    return Scene(
        motion=motion,
        backdrop=backdrop,
        surface=surface,
        tint=_jitter(rng, BACKDROPS[backdrop], 12),
        radius=float(rng.uniform(0.25, 0.33)),
        x=float(rng.uniform(-0.12, 0.12)),
        y=float(rng.uniform(-0.10, 0.10)),
        angle=float(rng.uniform(-0.35, 0.35)),
        speed=float(rng.uniform(0.75, 1.1)),
        turn=float(rng.choice((-1.0, 1.0))),
        grain_angle=float(rng.uniform(-0.6, 0.6)),
        phases=(first, second, third, fourth),
    )


# ---------------------------------------------------------------------------------- rendering


def _grid(frame_px: int, size: tuple[int, int]) -> tuple[Array, Array]:
    width, height = (
        (np.arange(side, dtype=np.float32) + 0.5) / frame_px - side / frame_px / 2 for side in size
    )
    y, x = np.meshgrid(height, width, indexing="ij")
    return x, y


def _silk(u: Array, v: Array, p: Sequence[float]) -> Array:
    folds = 0.14 * np.sin(11 * u + 2.2 * np.sin(5 * v + p[0]) + p[1])
    return folds + 0.06 * np.sin(19 * u + 3 * np.sin(4 * v + p[2]) + p[3])


def _wood(u: Array, v: Array, p: Sequence[float]) -> Array:
    grain = 34 * v + 2.0 * np.sin(3 * u + p[0]) + 1.5 * np.sin(9 * v + p[1]) + p[2]
    return 0.13 * np.sin(grain) + 0.05 * np.sin(7 * v + 2 * u + p[3])


def _marble(u: Array, v: Array, p: Sequence[float]) -> Array:
    wave = 9 * u + 2.5 * np.sin(6 * v + p[0]) + 1.5 * np.sin(13 * u + 5 * v + p[1]) + p[2]
    return 0.12 - 0.34 * np.exp(-((2.6 * np.sin(wave)) ** 2))


def _table(u: Array, v: Array, p: Sequence[float]) -> Array:
    return 0.06 * (v + 0.2 * u)


_RELIEF: dict[str, Callable[[Array, Array, Sequence[float]], Array]] = {
    "silk": _silk,
    "wood": _wood,
    "marble": _marble,
    "table": _table,
}


def _ground(scene: Scene, x: Array, y: Array) -> Array:
    cos, sin = np.cos(scene.grain_angle), np.sin(scene.grain_angle)
    relief = _RELIEF[scene.surface](cos * x + sin * y, cos * y - sin * x, scene.phases)
    return np.clip(np.asarray(scene.tint, np.float32) * (1 + relief[..., None]), 0, 1)


def _albedo(product: Product, u: Array, v: Array) -> Array:
    cos, sin = np.cos(product.pattern_angle), np.sin(product.pattern_angle)
    a, b = cos * u + sin * v, cos * v - sin * u
    f = product.pattern_frequency
    if product.pattern == "plain":
        second = np.zeros_like(u)
    elif product.pattern == "striped":
        second = 0.5 + 3 * np.sin(np.pi * f * b)
    elif product.pattern == "checkered":
        second = 0.5 + 4 * np.sin(0.8 * np.pi * f * a) * np.sin(0.8 * np.pi * f * b)
    else:
        cell = np.hypot((0.95 * f * a) % 1 - 0.5, (0.95 * f * b) % 1 - 0.5)
        second = 0.5 + 8 * (0.32 - cell)
    share = np.clip(second, 0, 1)[..., None]
    return (1 - share) * np.asarray(product.base, np.float32) + share * np.asarray(
        product.second, np.float32
    )


def _pose(scene: Scene, frame: float) -> tuple[float, float, float, float]:
    """Centre x, y, angle and zoom of the product in a frame."""
    t = frame / (FRAMES - 1) - 0.5
    x, y, angle, zoom = scene.x, scene.y, scene.angle, 1.0
    way = _TRAVEL * scene.speed * t
    match scene.motion:
        case "sliding left":
            x -= way
        case "sliding right":
            x += way
        case "sliding up":
            y -= way
        case "sliding down":
            y += way
        case "rotating":
            angle += scene.turn * _TURN * scene.speed * t
        case "zooming in":
            zoom = _ZOOM ** (2 * t * scene.speed)
        case "zooming out":
            zoom = _ZOOM ** (-2 * t * scene.speed)
    return x * zoom, y * zoom, angle, zoom


def _blend(image: Array, share: Array, colour: Array | Colour) -> Array:
    return image * (1 - share[..., None]) + np.asarray(colour, np.float32) * share[..., None]


def _render_frame(
    product: Product, scene: Scene, frame: float, grid: tuple[Array, Array], frame_px: int
) -> tuple[Array, Array]:
    x, y = grid
    centre_x, centre_y, angle, zoom = _pose(scene, frame)
    radius = scene.radius * zoom
    sharpness = radius * frame_px  # pixels a product radius, so that an edge is one pixel wide
    cos, sin = np.cos(angle), np.sin(angle)
    dx, dy = (x - centre_x) / radius, (y - centre_y) / radius
    shape = SHAPES[product.category]

    shade_x, shade_y = dx - _SHADOW_OFFSET[0], dy - _SHADOW_OFFSET[1]
    distance = shape(cos * shade_x + sin * shade_y, cos * shade_y - sin * shade_x).distance
    shadow = _SHADOW_DEPTH * np.clip(0.5 - 2.2 * distance, 0, 1)
    image = _ground(scene, x / zoom, y / zoom) * (1 - shadow[..., None])

    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    outline = shape(u, v)
    light = 1.02 - 0.16 * (0.6 * dx + 0.8 * dy)
    mask = np.clip(0.5 - sharpness * outline.distance, 0, 1)
    image = _blend(image, mask, np.clip(_albedo(product, u, v) * light[..., None], 0, 1))
    for part, colour in outline.parts:
        share = np.clip(0.5 - sharpness * part, 0, 1)
        image = _blend(image, share, colour)
        mask = np.maximum(mask, share)
    return np.clip(image, 0, 1), mask


def render(
    product: Product,
    scene: Scene,
    frames: Sequence[float] = range(FRAMES),
    frame_px: int = FRAME_PX,
    size: tuple[int, int] | None = None,
) -> Clip:
    """The asked frames of a clip of `FRAMES` frames, with the mask of the product.

    frames: may lie between whole ones, and return, as those of `swing` do; before and after the
    clip's own the motion goes on. size: (width, height) of a frame in pixels, of which `frame_px`
    are a unit of the scene; None is the square of one unit.
    """
    grid = _grid(frame_px, size or (frame_px, frame_px))
    drawn = (_render_frame(product, scene, frame, grid, frame_px) for frame in frames)
    images, masks = zip(*drawn, strict=True)
    return Clip(np.stack(images).astype(np.float32), np.stack(masks).astype(np.float32))


def swing(count: int, period: float = 3.0 * FRAMES) -> list[float]:
    """Frames of a longer clip, in which the motion goes forth and back.

    It starts at rest in the first of `FRAMES` frames; a period is one way forth and back, in the
    middle of which the product moves as fast as in a clip of its own length.
    """
    way = (FRAMES - 1) / 2
    return [way - way * math.cos(2 * math.pi * index / period) for index in range(count)]


def packshot(rng: np.random.Generator, product: Product, frame_px: int = FRAME_PX) -> Clip:
    """A one-frame product photo: plain light backdrop, its own pose."""
    scene = draw_scene(rng, motion="standing still", surface="table")
    white = float(rng.uniform(0.80, 0.92))
    scene = replace(
        scene,
        tint=(white, white, white),
        radius=float(rng.uniform(0.34, 0.42)),
        x=0.4 * scene.x,
        y=0.4 * scene.y,
        angle=float(rng.uniform(-0.6, 0.6)),
    )
    return render(product, scene, frames=[0], frame_px=frame_px)
