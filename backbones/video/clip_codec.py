"""Many 8-bit clips through the video VAE at once, with a progress bar."""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from backbones.video.cache_latents import latent_statistics

_TOGETHER = 4  # a lone clip takes a CPU path that is three times slower


@torch.inference_mode()
def encode_clips(vae: Any, clips: NDArray[np.uint8]) -> Tensor:
    """(n, f, h, w, 3) -> normalised latents (n, c, 1 + (f - 1) / 4, h / 8, w / 8)."""
    mean, std = latent_statistics(vae)
    latents = []
    for part in tqdm(np.array_split(clips, -(-len(clips) // _TOGETHER)), desc="encode clips"):
        pixels = rearrange(torch.from_numpy(part), "b f h w c -> b c f h w").float() / 127.5 - 1
        latents.append((vae.encode(pixels).latent_dist.mode() - mean) / std)
    return torch.cat(latents)


@torch.inference_mode()
def decode_clips(vae: Any, latents: Tensor) -> NDArray[np.uint8]:
    """Normalised latents (n, c, f, h, w) -> clips (n, 4 f - 3, 8 h, 8 w, 3)."""
    mean, std = latent_statistics(vae)
    clips = []
    for part in tqdm(latents.split(_TOGETHER), desc="decode clips"):
        pixels = vae.decode(part.float() * std + mean, return_dict=False)[0]
        levels = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        clips.append(rearrange(levels, "b c f h w -> b f h w c").numpy())
    return np.concatenate(clips)
