"""The tasks the image base is trained on: right panel = a function of the street scene.

Every task is named by text. None of them is, or is computed from, the infrared rendering: the
functions see the visible photo, its relit twin and the class ids only.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, sobel

Image = NDArray[np.uint8]  # [H, W, 3]
Labels = NDArray[np.uint8]  # [H, W] class ids

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_CLASSES = 16  # palette rows; more than the world has classes


def _gray(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat((x @ _LUMA)[..., None], 3, axis=-1)


def _edges(x: NDArray[np.float32]) -> NDArray[np.float32]:
    luma = x @ _LUMA
    return np.repeat(1.2 * np.hypot(sobel(luma, 0), sobel(luma, 1))[..., None], 3, axis=-1)


_PHOTOMETRIC: dict[str, Callable[[NDArray[np.float32]], NDArray[np.floating]]] = {
    "exact copy": lambda x: x,
    "grayscale photo": _gray,
    "negative": lambda x: 255 - x,
    "gray negative": lambda x: 255 - _gray(x),
    "colours swapped": lambda x: x[..., ::-1],
    "blurred photo": lambda x: gaussian_filter(x, (2.5, 2.5, 0)),
    "edges drawing": _edges,
    "brightened photo": lambda x: 255 * (x / 255) ** 0.45,
    "sepia tint": lambda x: np.clip(_gray(x) * np.array([1.1, 0.85, 0.6], np.float32), 0, 255),
}

# Recolourings paint each class with a random colour ("recolour ...") or a random gray level
# ("shades ...") and keep a quarter of the photo. The draws are fixed by the seed below.
_random = np.random.default_rng(5)
_COLOURS = {
    f"recolour {name}": _random.uniform(20, 240, (_CLASSES, 3)).astype(np.float32)
    for name in ("alpha", "beta", "gamma", "delta")
}
_SHADES = {
    f"shades {name}": np.repeat(_random.uniform(10, 245, (_CLASSES, 1)), 3, -1).astype(np.float32)
    for name in ("one", "two", "three", "four", "five", "six", "seven", "eight")
}
PALETTES = _COLOURS | _SHADES

PHOTOMETRIC = list(_PHOTOMETRIC)
CLASS_MAP = "class map"
RELIT = {True: "night photo", False: "day photo"}
INPAINT = "photo"  # ordinary filling: the right panel repeats the left, a random part is hidden
PHRASES = [*PHOTOMETRIC, *PALETTES, CLASS_MAP, *RELIT.values(), INPAINT]


def photometric(phrase: str, visible: Image) -> Image:
    """Apply a photometric task to a photo."""
    changed = _PHOTOMETRIC[phrase](visible.astype(np.float32))
    return np.clip(changed, 0, 255).astype(np.uint8)


def repaint(phrase: str, visible: Image, labels: Labels) -> Image:
    """Paint every class with the palette called `phrase`, over a quarter of the photo."""
    flat = 0.75 * PALETTES[phrase][labels]
    shading = visible if phrase in _COLOURS else _gray(visible.astype(np.float32))
    return np.clip(flat + 0.25 * shading, 0, 255).astype(np.uint8)
