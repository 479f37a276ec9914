"""Between pixels and the normalised latents of a Wan video VAE."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _OneDnnConvolutions(TorchFunctionMode):
    """Every conv3d by oneDNN: a small clip alone gets a kernel several times slower from torch."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv3d:
            x, weight, bias, stride, padding, dilation, groups = args
            return torch.mkldnn_convolution(x, weight, bias, padding, stride, dilation, groups)
        return func(*args, **(kwargs or {}))


def _fast_convolutions(vae: Any) -> AbstractContextManager[object]:
    on_cpu = vae.device.type == "cpu" and torch.backends.mkldnn.is_available()
    return _OneDnnConvolutions() if on_cpu else nullcontext()


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
    with _fast_convolutions(vae):
        z = vae.encode(x).latent_dist.mode().float()
    mean, std = _moments(vae, z)
    return (z - mean) / std


@torch.no_grad()
def decode_frames(vae: Any, z: Tensor) -> NDArray[np.uint8]:
    """Normalised latents (1, channels, f, h, w) of one clip -> frames [F, H, W, 3]."""
    mean, std = _moments(vae, z)
    with _fast_convolutions(vae):
        (x,) = vae.decode(z.float() * std + mean, return_dict=False)[0]
    pixels = ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return rearrange(pixels, "c f h w -> f h w c").cpu().numpy()
