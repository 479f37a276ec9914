"""Pictures for the micro CLIP: each product as a photo and in two scenes, with their captions."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Pool:
    """`photos` `[N, P, P, 3]`, `frames` `[N, 2, P, P, 3]`, both 8-bit, and what they show."""

    products: list[Product]
    scenes: list[tuple[Scene, Scene]]
    photos: NDArray[np.uint8]
    frames: NDArray[np.uint8]


def to_bytes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.round(image * 255).astype(np.uint8)


def draw_pool(count: int, seed: int) -> Pool:
    """`count` random products, each rendered once as a photo and in two scenes."""
    rng = np.random.default_rng(seed)
    products, scenes, photos, frames = [], [], [], []
    for _ in tqdm(range(count), desc="render", unit="product"):
        product = draw_product(rng)
        pair = (draw_scene(rng), draw_scene(rng))
        products.append(product)
        scenes.append(pair)
        photos.append(to_bytes(packshot(rng, product, POOL_PX).video[0]))
        views = [
            render_clip(product, scene, [int(rng.integers(FRAMES))], POOL_PX).video[0]
            for scene in pair
        ]
        frames.append(to_bytes(np.stack(views)))
    return Pool(products, scenes, np.stack(photos), np.stack(frames))


def distinct_batch(pool: Pool, batch: int, rng: np.random.Generator) -> list[int]:
    """Indices of `batch` products no two of which share class, colour and pattern.

    Contrastive learning takes every other pair of a batch for a mismatch; two red striped mugs
    would make that false. There are 256 such combinations.
    """
    chosen: dict[tuple[str, str, str], int] = {}
    for index in rng.permutation(len(pool.products)).tolist():
        product = pool.products[index]
        chosen.setdefault((product.category, product.colour, product.pattern), index)
        if len(chosen) == batch:
            break
    return list(chosen.values())


def captions(
    pool: Pool, indices: list[int], views: list[int], rng: np.random.Generator
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

    Zoom 0.8 to 1.7 (a product crop fills the frame), shift, mirror, brightness and colour gain
    up to 6 %, and blur down to a quarter of the resolution, since edited frames are soft.
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
    for index in torch.nonzero(uniform(0, 1) < 0.5).flatten().tolist():
        px = int(torch.randint(IMAGE_PX // 4, IMAGE_PX, (1,), generator=generator))
        small = F.interpolate(x[index : index + 1], (px, px), mode="area")
        x[index : index + 1] = F.interpolate(small, (IMAGE_PX, IMAGE_PX), mode="bilinear")
    gain = 1 + uniform(-0.06, 0.06, 3, 1, 1)
    return ((x + 1) * gain - 1 + uniform(-0.06, 0.06, 1, 1, 1)).clamp(-1, 1)
