"""Pairs for judging edits: a clip, what it shall become, and the rendering of just that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backbones.video.clips import to_bytes
from backbones.worlds.tabletop import (
    CLASSES,
    COLOURS,
    FRAMES,
    PATTERNS,
    Product,
    Scene,
    draw_product,
    draw_scene,
    packshot,
    render,
)
from backbones.worlds.tabletop_captions import describe, name_class

# apart from every training, validation, sample case and prompt
_SWAP_STREAM, _RECOLOUR_STREAM = 15, 16
_OFFSETS = (1, 3, 5, 6)  # from a class to the one it is swapped for
_FAR = 120.0  # levels of 255 between the nominal colours of a recolouring, Euclidean in RGB


@dataclass(frozen=True)
class Pair:
    """video, truth (f, h, w, 3) and photo (h, w, 3) 8-bit; masks (f, h, w) bool.

    truth: the target product in the source's scene. photo: a packshot of the target product.
    """

    source_prompt: str
    target_prompt: str
    video: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    photo: NDArray[np.uint8]
    source_mask: NDArray[np.bool_]
    target_mask: NDArray[np.bool_]


def _rendered(
    source: Product,
    target: Product,
    scene: Scene,
    prompt: str,
    rng: np.random.Generator,
    frames: Sequence[float] = range(FRAMES),
) -> Pair:
    before, after = render(source, scene, frames), render(target, scene, frames)
    return Pair(
        source_prompt=describe(source, scene),
        target_prompt=prompt,
        video=to_bytes(before.video),
        truth=to_bytes(after.video),
        photo=to_bytes(packshot(rng, target).video[0]),
        source_mask=before.mask > 0.5,
        target_mask=after.mask > 0.5,
    )


def draw_swap(index: int, seed: int) -> Pair:
    """Another class of the same colour and pattern, by a full prompt: 32 different swaps."""
    rng = np.random.default_rng([seed, _SWAP_STREAM, index])
    before = index % len(CLASSES)
    after = (before + _OFFSETS[index // len(CLASSES) % len(_OFFSETS)]) % len(CLASSES)
    source, scene = draw_product(rng, CLASSES[before]), draw_scene(rng)
    target = replace(source, category=CLASSES[after])
    return _rendered(source, target, scene, describe(target, scene), rng)


def far_colours(colour: str) -> list[str]:
    """The colours one would not take for `colour`."""
    own = np.asarray(COLOURS[colour], float)
    return [name for name, rgb in COLOURS.items() if np.linalg.norm(own - rgb) > _FAR]


def draw_recolouring(index: int, seed: int, frames: Sequence[float] = range(FRAMES)) -> Pair:
    """Another colour and pattern of the same class; the prompt names the class alone."""
    rng = np.random.default_rng([seed, _RECOLOUR_STREAM, index])
    source, scene = draw_product(rng, CLASSES[index % len(CLASSES)]), draw_scene(rng)
    pattern = str(rng.choice([name for name in PATTERNS if name != source.pattern]))
    colour = str(rng.choice(far_colours(source.colour)))
    target = draw_product(rng, source.category, colour, pattern)
    return _rendered(source, target, scene, name_class(target, scene), rng, frames)


def stack_videos(pairs: Sequence[Pair]) -> NDArray[np.uint8]:
    """(n, f, h, w, 3)."""
    return np.stack([pair.video for pair in pairs])
