"""Pictures for the micro CLIP: each product as a photo and in a few scenes, with their captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tqdm import tqdm

from backbones.clip.architecture import IMAGE_PX
from backbones.worlds.tabletop import FRAMES, Product, Scene, draw_product, draw_scene, packshot
from backbones.worlds.tabletop import render as render_clip
from backbones.worlds.tabletop_captions import draw_caption

POOL_PX = 80  # a little above the network's 64, so that crops and zooms stay sharp
_ALIKE = 2  # products of a batch that share class, colour and pattern


@dataclass(frozen=True)
class Pool:
    """`photos` `[N, P, P, 3]`, `frames` `[N, V, P, P, 3]`, both 8-bit, and what they show."""

    products: list[Product]
    scenes: list[tuple[Scene, ...]]
    photos: NDArray[np.uint8]
    frames: NDArray[np.uint8]

    @cached_property
    def namesakes(self) -> list[list[int]]:
        """Indices of the products that share class, colour and pattern."""
        groups: dict[tuple[str, str, str], list[int]] = {}
        for index, product in enumerate(self.products):
            words = (product.category, product.colour, product.pattern)
            groups.setdefault(words, []).append(index)
        return list(groups.values())


def to_bytes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.round(image * 255).astype(np.uint8)


def draw_pool(count: int, seed: int, views: int = 2) -> Pool:
    """`count` random products, each rendered once as a photo and in `views` scenes."""
    rng = np.random.default_rng(seed)
    products, scenes = [], []
    photos = np.empty((count, POOL_PX, POOL_PX, 3), np.uint8)
    frames = np.empty((count, views, POOL_PX, POOL_PX, 3), np.uint8)
    for index in tqdm(range(count), desc="render", unit="product", mininterval=2):
        product = draw_product(rng)
        chosen = tuple(draw_scene(rng) for _ in range(views))
        products.append(product)
        scenes.append(chosen)
        photos[index] = to_bytes(packshot(rng, product, POOL_PX).video[0])
        for view, scene in enumerate(chosen):
            frame = int(rng.integers(FRAMES))
            frames[index, view] = to_bytes(render_clip(product, scene, [frame], POOL_PX).video[0])
    return Pool(products, scenes, photos, frames)


def namesake_batch(pool: Pool, batch: int, rng: np.random.Generator) -> list[int]:
    """Indices of `batch` products in pairs of one class, colour and pattern where there are two.

    Only jittered colour, pattern frequency and angle tell such a pair apart, so contrasting the
    pictures of a batch teaches to see those, too.
    """
    chosen: list[int] = []
    for group in rng.permutation(len(pool.namesakes)).tolist():
        members = pool.namesakes[group]
        chosen += rng.permutation(members)[:_ALIKE].tolist()
        if len(chosen) >= batch:
            break
    return chosen[:batch]


def captions(
    pool: Pool, indices: Sequence[int], views: Sequence[int], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Captions of the chosen frames and of the photos; one frame has no motion to name."""
    of_frames = [
        draw_caption(rng, pool.products[i], pool.scenes[i][view], still=True)
        for i, view in zip(indices, views, strict=True)
    ]
    of_photos = [draw_caption(rng, pool.products[i], None) for i in indices]
    return of_frames, of_photos


def augment(images: NDArray[np.uint8], generator: torch.Generator) -> torch.Tensor:
    """8-bit `[N, P, P, 3]` -> network input `[N, 3, 64, 64]` in [-1, 1], each image on its own.

    Zoom 0.8 to 1.7 (a product crop fills the frame), shift, mirror, 4 % of brightness, and in a
    third of them blur down to a quarter of the resolution, since edited frames are soft. Channel
    gains stay within 1.5 %: more would make an orange of a yellow, and one red of another.
    """
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    count = len(x)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    zoom = torch.exp(uniform(float(np.log(1 / 1.7)), float(np.log(1 / 0.8))))
    mirror = torch.sign(uniform(-1, 1))
    grid = torch.zeros(count, 2, 3)
    grid[:, 0, 0], grid[:, 1, 1] = zoom * mirror, zoom
    grid[:, :, 2] = uniform(-0.15, 0.15, 2)
    places = F.affine_grid(grid, [count, 3, IMAGE_PX, IMAGE_PX], align_corners=False)
    x = F.grid_sample(x, places, padding_mode="reflection", align_corners=False)
    for index in torch.nonzero(uniform(0, 1) < 0.35).flatten().tolist():
        px = int(torch.randint(IMAGE_PX // 4, IMAGE_PX, (1,), generator=generator))
        small = F.interpolate(x[index : index + 1], (px, px), mode="area")
        x[index : index + 1] = F.interpolate(small, (IMAGE_PX, IMAGE_PX), mode="bilinear")
    gain = 1 + uniform(-0.015, 0.015, 3, 1, 1) + uniform(-0.025, 0.025, 1, 1, 1)
    return ((x + 1) * gain - 1).clamp(-1, 1)
