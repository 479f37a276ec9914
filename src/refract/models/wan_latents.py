"""Between pixels and the normalised latents of a Wan video VAE."""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

# For a small batch of one, CPU conv3d leaves oneDNN for a kernel several times slower.
_SMALL_ON_CPU = 20_480


def _moments(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the latents, (1, channels, 1, 1, 1)."""
    mean, std = (
        torch.tensor(values, device=like.device, dtype=torch.float32).view(1, -1, 1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return mean, std


@torch.no_grad()
def encode_frames(vae: Any, frames: NDArray[np.uint8]) -> Tensor:
    """Frames [F, H, W, 3] -> normalised latents (1, channels, 1 + (F - 1) / 4, H / 8, W / 8).

    The mode of the posterior is taken, as diffusers' video-to-video pipeline does.
    """
    pixels = torch.tensor(frames).to(vae.device)
    x = rearrange(pixels, "f h w c -> 1 c f h w").float() / 127.5 - 1
    z = vae.encode(x).latent_dist.mode().float()
    mean, std = _moments(vae, z)
    return (z - mean) / std


@torch.no_grad()
def decode_clips(vae: Any, z: Tensor) -> NDArray[np.uint8]:
    """Normalised latents (b, channels, f, h, w) -> frames [b, F, H, W, 3].

    On a CPU, two small clips cost what one does and come out as each does alone, bit for bit.
    """
    mean, std = _moments(vae, z)
    latents = z.float() * std + mean
    if len(z) == 1 and z.device.type == "cpu" and z.numel() < _SMALL_ON_CPU:
        latents = latents.repeat(2, 1, 1, 1, 1)  # two are decoded in little over half the time
    x = vae.decode(latents, return_dict=False)[0][: len(z)]
    pixels = ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return rearrange(pixels, "b c f h w -> b f h w c").cpu().numpy()


def decode_frames(vae: Any, z: Tensor) -> NDArray[np.uint8]:
    """Normalised latents (1, channels, f, h, w) of one clip -> frames [F, H, W, 3]."""
    (frames,) = decode_clips(vae, z)
    return frames
