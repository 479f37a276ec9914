"""Aligned visible and infrared pictures of boxes on a street: outlines agree, levels do not."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from refract.evaluation.infrared.scenes import TrueScene

ROAD, VEHICLE = (128, 64, 128), (0, 0, 142)


def street_scene(seed: int, side: int = 96, daytime: str = "day") -> TrueScene:
    """Textured ground, a painted line and four boxes ("vehicles"), warm in the infrared picture."""
    rng = np.random.default_rng(seed)
    visible, infrared = (gaussian_filter(rng.normal(0, 20, (side, side)), 3) for _ in range(2))
    horizon = side // 3
    visible[:horizon], infrared[:horizon] = visible[:horizon] + 170, infrared[:horizon] + 20
    visible[horizon:], infrared[horizon:] = visible[horizon:] + 90, infrared[horizon:] + 80
    visible[horizon:, side // 2 : side // 2 + 5] = 230  # paint, which the warmth does not show
    semantic = np.full((side, side, 3), ROAD, np.uint8)
    for top, left in rng.integers(horizon, side - 20, (4, 2)):
        box = np.s_[top : top + int(rng.integers(8, 18)), left : left + int(rng.integers(8, 18))]
        visible[box], infrared[box] = rng.uniform(20, 240), rng.uniform(150, 230)
        semantic[box] = VEHICLE
    gray = _bytes(visible)
    return TrueScene(
        f"s{seed}", daytime, np.repeat(gray[..., None], 3, -1), _bytes(infrared), semantic
    )


def with_moved_vehicles(scene: TrueScene, px: int) -> NDArray[np.uint8]:
    """The true infrared picture, but every vehicle `px` to the right of where it is."""
    there = (scene.semantic == VEHICLE).all(-1)
    moved = scene.infrared.copy()
    moved[there] = np.median(scene.infrared[~there])
    then = np.roll(there, px, 1)
    moved[then] = np.roll(scene.infrared, px, 1)[then]
    return moved


def _bytes(picture: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
