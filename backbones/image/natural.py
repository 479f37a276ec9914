"""Procedural pictures with the statistics of photographs, so that a user's own photo survives.

Dead leaves: shapes of all sizes in front of one another, each with its own colour, texture and
shading (Lee, Mumford, Huang, "Occlusion models for natural images", 2001). Power-law sizes and
textures with 1/f spectra give the edges and the spectrum of real scenes without any real scene.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

Field = NDArray[np.float32]

_MARGIN = 8  # pixels drawn around the picture and cut off, so that blur has no border
_TEXTURES = 12  # drawn for a picture; its leaves share them
_SMALLEST_PX, _LARGEST = 2.0, 0.6  # radius of a leaf: pixels, share of the side
_SUPERSAMPLING = 4  # of the leaves' outlines


def natural_pictures(seed: int, count: int, side_px: int) -> Iterator[NDArray[np.uint8]]:
    """`count` pictures [side, side, 3]; picture i is the same for the same (seed, i)."""
    for index in range(count):
        yield _picture(np.random.default_rng([seed, index]), side_px)


def _picture(random: np.random.Generator, side_px: int) -> NDArray[np.uint8]:
    side = side_px + 2 * _MARGIN
    textures = [_texture(random, side) for _ in range(_TEXTURES)]
    image = _surface(random, textures, _colour(random), side)
    for _ in range(int(random.integers(15, 140))):
        share = _leaf(random, side)[..., None]
        image = image * (1 - share) + share * _surface(random, textures, _colour(random), side)
    blur = random.uniform(0.3, 0.9)
    image = gaussian_filter(image, (blur, blur, 0)) * random.uniform(0.35, 1.15)
    image = image + random.uniform(0, 0.015) * random.standard_normal(image.shape)
    cut = image[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    return np.clip(cut * 255, 0, 255).astype(np.uint8)


def _texture(random: np.random.Generator, side: int) -> Field:
    """A field of deviation 1 whose amplitude falls as 1 / frequency ** slope, often stretched."""
    y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    turn, stretch = random.uniform(0, np.pi), np.exp(random.uniform(0, 1.5))
    along = np.cos(turn) * x + np.sin(turn) * y
    across = (np.cos(turn) * y - np.sin(turn) * x) * stretch
    frequency = np.maximum(np.hypot(along, across), 1 / side)
    spectrum = np.fft.rfft2(random.standard_normal((side, side)))
    field = np.fft.irfft2(spectrum / frequency ** random.uniform(0.6, 1.6), s=(side, side))
    return (field / field.std()).astype(np.float32)


def _colour(random: np.random.Generator) -> Field:
    """Mostly muted: a gray of any brightness with a tint."""
    gray = random.beta(1.2, 1.4)
    tint = random.normal(0, 0.05 if random.random() < 0.7 else 0.2, 3)
    return np.clip(gray + tint, 0, 1).astype(np.float32)


def _surface(random: np.random.Generator, textures: list[Field], colour: Field, side: int) -> Field:
    """A plain colour under a light that falls off to one side, with a texture rolled at random."""
    texture = textures[int(random.integers(len(textures)))]
    roll = tuple(random.integers(0, side, 2))
    relief = np.roll(texture, roll, (0, 1)) * random.choice((0.0, 0.03, 0.08, 0.18))
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    light = random.normal(0, 0.2) * ramp[:, None] + random.normal(0, 0.2) * ramp[None, :]
    return np.asarray(colour * (1 + relief + light)[..., None], np.float32)


def _leaf(random: np.random.Generator, side: int) -> Field:
    """The coverage [side, side] in 0..1 of one random shape."""
    # p(radius) ~ radius ** -1.5: many small, few large
    low, high = _SMALLEST_PX**-0.5, (_LARGEST * side) ** -0.5
    radius = (low + random.random() * (high - low)) ** -2.0
    scale = _SUPERSAMPLING
    canvas = Image.new("L", (side * scale, side * scale))
    draw = ImageDraw.Draw(canvas)
    points = _outline(random, radius) + random.uniform(0, side, 2)
    draw.polygon([(float(px), float(py)) for px, py in points * scale], fill=255)
    small = canvas.resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def _outline(random: np.random.Generator, radius: float) -> NDArray[np.float64]:
    """Corners [n, 2] of an ellipse, a box, a thin bar or a ragged polygon around 0."""
    kind = random.choice(("ellipse", "box", "bar", "ragged"))
    if kind in ("box", "bar"):
        thickness = random.uniform(0.3, 1.0) if kind == "box" else random.uniform(0.02, 0.12)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (1, thickness)
    else:
        count = 24 if kind == "ellipse" else int(random.integers(3, 9))
        angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
        reach = random.uniform(0.5, 1.0, count) if kind == "ragged" else np.ones(count)
        corners = np.stack((np.cos(angles), np.sin(angles)), 1) * reach[:, None]
        corners = corners * (1, random.uniform(0.3, 1.0))
    # buildings and poles stand upright: half of the straight shapes do
    upright = kind in ("box", "bar") and random.random() < 0.5
    turn = random.choice((0, np.pi / 2)) if upright else random.uniform(0, np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.asarray(radius * corners @ np.array([[cos, sin], [-sin, cos]]))
