"""Encode rendered clips and product photos once, for the transformer's training.

    python -m backbones.video.cache_latents --vae DIR --output DIR --clips 2000

Writes shards of 50: clips (n, 16, 5, 12, 12) and photos (n, 16, 1, 12, 12), normalised, fp16,
and photo_tokens (n, 36), the transformer's tokens on which the photo shows the product. A shard
that is there is not made again. Captions are not stored: they follow from the index.
"""

import argparse
import logging
import os
from pathlib import Path

import refract.torchvision_compat  # noqa: F401  (must come before diffusers)

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from einops import reduce
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from backbones.video.clips import TRAINING_STREAM, draw_sample, to_tensor

log = logging.getLogger("cache_latents")

SHARD = 50
_TOGETHER = 5  # a lone clip takes a CPU path that is three times slower
_CELL_PX = 16  # a transformer token: 8 pixels a latent, 2 latents a patch
_PRODUCT_SHARE = 0.25  # of a cell, from which on it counts as product


def latent_statistics(vae: AutoencoderKLWan) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1, c, 1, 1, 1) from the VAE's config."""
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    return mean, std


@torch.no_grad()
def encode_shard(
    vae: AutoencoderKLWan, seed: int, first: int, count: int, stream: int = TRAINING_STREAM
) -> dict[str, Tensor]:
    """Samples first to first + count of a stream, encoded."""
    mean, std = latent_statistics(vae)
    parts: dict[str, list[Tensor]] = {"clips": [], "photos": [], "photo_tokens": []}
    for start in range(first, first + count, _TOGETHER):
        end = min(first + count, start + _TOGETHER)
        samples = [draw_sample(seed, index, stream=stream) for index in range(start, end)]
        for name, videos in (
            ("clips", [sample.clip.video for sample in samples]),
            ("photos", [sample.photo.video for sample in samples]),
        ):
            latent = vae.encode(to_tensor(np.stack(videos))).latent_dist.mode()
            parts[name].append(((latent - mean) / std).half())
        masks = torch.from_numpy(np.concatenate([sample.photo.mask for sample in samples]))
        share = reduce(masks, "b (y h) (x w) -> b (y x)", "mean", h=_CELL_PX, w=_CELL_PX)
        parts["photo_tokens"].append(share > _PRODUCT_SHARE)
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def load_latents(folder: Path) -> dict[str, Tensor]:
    """All shards joined, in order of index."""
    shards = [load_file(path) for path in sorted(folder.glob("latents_*.safetensors"))]
    return {key: torch.cat([shard[key] for shard in shards]) for key in shards[0]}


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    vae = AutoencoderKLWan.from_pretrained(options.vae, dtype=torch.float32)
    vae.eval().requires_grad_(False)
    options.output.mkdir(parents=True, exist_ok=True)
    for first in tqdm(range(0, options.clips, SHARD), desc="encode clips", unit="shard"):
        path = options.output / f"latents_{first:06d}.safetensors"
        if not path.exists():
            count = min(SHARD, options.clips - first)
            save_file(encode_shard(vae, options.seed, first, count), path.with_suffix(".tmp"))
            os.replace(path.with_suffix(".tmp"), path)


if __name__ == "__main__":
    main()
