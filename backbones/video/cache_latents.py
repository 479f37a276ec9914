"""Encode rendered clips and product photos once, for the transformer's training.

    python -m backbones.video.cache_latents --vae DIR --output DIR --clips 4000 --stills 12000

Writes shards, normalised and in fp16: latents_* of 50 clips (n, 16, 5, 12, 12) with photos
(n, 16, 1, 12, 12) and photo_tokens (n, 36), the transformer's tokens on which the photo shows the
product; stills_* of 500 single frames (n, 16, 1, 12, 12) of further clips with their photos. A
shard that is there is not made again. Captions are not stored: they follow from the index.
"""

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from einops import reduce
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from backbones.options import begin, recipe_parser
from backbones.video.clips import STILLS_STREAM, TRAINING_STREAM, draw_sample, to_tensor
from backbones.worlds.tabletop import FRAMES

log = logging.getLogger("cache_latents")

SHARD = 50
STILLS_SHARD = 500
_STILLS_TOGETHER = 20
_TOGETHER = 5  # a lone clip takes a CPU path that is three times slower
_CELL_PX = 16  # a transformer token: 8 pixels a latent, 2 latents a patch
_PRODUCT_SHARE = 0.25  # of a cell, from which on it counts as product


def latent_statistics(vae: AutoencoderKLWan) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1, c, 1, 1, 1) from the VAE's config."""
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    return mean, std


def _encode(vae: AutoencoderKLWan, videos: Sequence[NDArray[np.floating]]) -> Tensor:
    """Videos (f, h, w, 3) in 0..1 of one shape -> normalised latents in fp16, stacked."""
    mean, std = latent_statistics(vae)
    latent = vae.encode(to_tensor(np.stack(videos))).latent_dist.mode()
    return ((latent - mean) / std).half()


@torch.no_grad()
def encode_shard(
    vae: AutoencoderKLWan, seed: int, first: int, count: int, stream: int = TRAINING_STREAM
) -> dict[str, Tensor]:
    """Samples first to first + count of a stream, encoded."""
    parts: dict[str, list[Tensor]] = {"clips": [], "photos": [], "photo_tokens": []}
    for start in range(first, first + count, _TOGETHER):
        end = min(first + count, start + _TOGETHER)
        samples = [draw_sample(seed, index, stream=stream) for index in range(start, end)]
        for name, videos in (
            ("clips", [sample.clip.video for sample in samples]),
            ("photos", [sample.photo.video for sample in samples]),
        ):
            parts[name].append(_encode(vae, videos))
        masks = torch.from_numpy(np.concatenate([sample.photo.mask for sample in samples]))
        share = reduce(masks, "b (y h) (x w) -> b (y x)", "mean", h=_CELL_PX, w=_CELL_PX)
        parts["photo_tokens"].append(share > _PRODUCT_SHARE)
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


@torch.no_grad()
def encode_stills(
    vae: AutoencoderKLWan, seed: int, first: int, count: int, stream: int = STILLS_STREAM
) -> dict[str, Tensor]:
    """One frame of each sample, another one every time, and its photo: far more products for the
    price of a clip, to learn what the words for classes, colours and patterns mean."""
    parts: dict[str, list[Tensor]] = {"stills": [], "photos": []}
    for start in range(first, first + count, _STILLS_TOGETHER):
        indices = range(start, min(first + count, start + _STILLS_TOGETHER))
        samples = [draw_sample(seed, i, stream=stream, frames=[i % FRAMES]) for i in indices]
        for name, videos in (
            ("stills", [sample.clip.video for sample in samples]),
            ("photos", [sample.photo.video for sample in samples]),
        ):
            parts[name].append(_encode(vae, videos))
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def load_latents(folder: Path) -> dict[str, Tensor]:
    """All shards joined, in order of index: clips, photos and photo_tokens."""
    return _joined(folder, "latents")


def load_stills(folder: Path) -> dict[str, Tensor]:
    """All shards joined, in order of index: stills and their photos."""
    return _joined(folder, "stills")


def _joined(folder: Path, kind: str) -> dict[str, Tensor]:
    shards = [load_file(path) for path in sorted(folder.glob(f"{kind}_*.safetensors"))]
    if not shards:
        raise FileNotFoundError(f"{folder}: no {kind}_*.safetensors; run cache_latents first")
    return {key: torch.cat([shard[key] for shard in shards]) for key in shards[0]}


def _write_missing(
    folder: Path, kind: str, count: int, shard: int, encode: Callable[[int, int], dict[str, Tensor]]
) -> None:
    """The shards of `count` samples that `folder` lacks; encode(first, how many)."""
    for first in tqdm(range(0, count, shard), desc=f"encode {kind}", unit="shard"):
        path = folder / f"{kind}_{first:06d}.safetensors"
        if not path.exists():
            save_file(encode(first, min(shard, count - first)), path.with_suffix(".tmp"))
            os.replace(path.with_suffix(".tmp"), path)


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--stills", type=int, default=12000)
    options = begin(parser)
    vae = AutoencoderKLWan.from_pretrained(options.vae, dtype=torch.float32)
    vae.eval().requires_grad_(False)
    options.output.mkdir(parents=True, exist_ok=True)
    seed = options.seed
    _write_missing(
        options.output, "latents", options.clips, SHARD, partial(encode_shard, vae, seed)
    )
    _write_missing(
        options.output, "stills", options.stills, STILLS_SHARD, partial(encode_stills, vae, seed)
    )


if __name__ == "__main__":
    main()
