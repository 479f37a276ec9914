"""Rendered training data of the table-top world, addressed by (seed, index)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from backbones.worlds.tabletop import (
    FRAMES,
    Clip,
    Product,
    Scene,
    draw_product,
    draw_scene,
    packshot,
    render,
)

# the sample cases draw from stream 3, so that no backbone has seen them
TRAINING_STREAM = 1
VALIDATION_STREAM = 2
STILLS_STREAM = 4


@dataclass(frozen=True)
class Sample:
    """One product in one scene, and its photo."""

    product: Product
    scene: Scene
    clip: Clip
    photo: Clip


def _draw(seed: int, stream: int, index: int) -> tuple[Product, Scene, np.random.Generator]:
    rng = np.random.default_rng([seed, stream, index])
    return draw_product(rng), draw_scene(rng), rng


def draw_subject(seed: int, index: int, *, stream: int = TRAINING_STREAM) -> tuple[Product, Scene]:
    """What `draw_sample` shows, without rendering it."""
    product, scene, _ = _draw(seed, stream, index)
    return product, scene


def draw_sample(
    seed: int,
    index: int,
    *,
    stream: int = TRAINING_STREAM,
    frames: Sequence[int] = range(FRAMES),
) -> Sample:
    """The index-th sample of a stream; the same for the same (seed, stream, index)."""
    product, scene, rng = _draw(seed, stream, index)
    return Sample(product, scene, render(product, scene, frames), packshot(rng, product))


def to_tensor(video: NDArray[np.floating] | NDArray[np.uint8]) -> Tensor:
    """(..., f, h, w, 3), 0..1 or 0..255 -> (..., 3, f, h, w) float32 in -1..1."""
    top = 255.0 if video.dtype == np.uint8 else 1.0
    return rearrange(torch.from_numpy(video).float(), "... f h w c -> ... c f h w") * (2 / top) - 1


def to_bytes(video: NDArray[np.floating]) -> NDArray[np.uint8]:
    return (np.clip(video, 0, 1) * 255 + 0.5).astype(np.uint8)


def to_frames(video: Tensor) -> NDArray[np.float32]:
    """(3, f, h, w) in -1..1 -> (f, h, w, 3) in 0..1."""
    unit = video.clamp(-1, 1).float() / 2 + 0.5
    return np.asarray(rearrange(unit, "c f h w -> f h w c"), np.float32)
