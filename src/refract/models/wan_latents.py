"""Between pixels and the normalised latents of a Wan video VAE."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
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
def encode_frames(vae: Any, frames: Iterable[NDArray[np.uint8]]) -> Tensor:
    """Frames [H, W, 3], 4k + 1 of them, one by one or as an array [F, H, W, 3], as latents.

    To the bit what diffusers makes of the clip, but with the pixels of no more than four frames in
    memory. A VAE that codes in tiles goes through the clip a tile at a time, so it holds it all.
    The mode of the posterior is taken, as diffusers' video-to-video pipeline does.

    Returns:
        Normalised latents (1, channels, 1 + (F - 1) / 4, H / 8, W / 8), float32.
    Raises:
        ValueError: for another number of frames.
    """
    chunks = (_to_pixels(vae, chunk) for chunk in _chunks(frames))
    with _fast_convolutions(vae):
        if vae.use_tiling:
            moments = vae.encode(torch.cat(list(chunks), 2)).latent_dist.parameters
        else:
            cache = _empty_cache(vae, "encoder")
            encoded = [vae.encoder(_patched(vae, x), cache, feat_idx=[0]) for x in chunks]
            moments = vae.quant_conv(torch.cat(encoded, 2))
    z = moments.chunk(2, dim=1)[0].float()
    mean, std = _moments(vae, z)
    return (z - mean) / std


def decode_frames(vae: Any, z: Tensor) -> NDArray[np.uint8]:
    """Normalised latents (1, channels, f, h, w) of one clip -> frames [F, H, W, 3]."""
    return np.stack(list(stream_frames(vae, z)))


@torch.no_grad()
def stream_frames(vae: Any, z: Tensor) -> Iterator[NDArray[np.uint8]]:
    """The frames [H, W, 3] of `decode_frames` one by one, at most four of them in memory.

    The VAE may do other work in between. One that codes in tiles holds the clip.
    """
    mean, std = _moments(vae, z)
    z = z.float() * std + mean
    if vae.use_tiling:
        yield from _to_frames(vae.decode(z, return_dict=False)[0])
        return
    with _fast_convolutions(vae):
        z = vae.post_quant_conv(z)
    cache = _empty_cache(vae, "decoder")
    for index in range(z.shape[2]):
        with _fast_convolutions(vae):
            latent = z[:, :, index : index + 1]
            x = vae.decoder(latent, cache, feat_idx=[0], first_chunk=index == 0)
        yield from _to_frames(_unpatched(vae, x))


def _chunks(frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """The first frame, then four by four."""
    rest = iter(frames)
    yield np.stack(list(itertools.islice(rest, 1)))
    while chunk := list(itertools.islice(rest, 4)):
        if len(chunk) < 4:
            raise ValueError(f"{len(chunk) + 1} frames more than a multiple of 4: must be 4k + 1")
        yield np.stack(chunk)


def _empty_cache(vae: Any, part: str) -> list[Tensor | None]:
    """Of what the causal convolutions have seen; `vae.clear_cache` would share it between clips."""
    return [None] * vae._cached_conv_counts[part]


def _to_pixels(vae: Any, frames: NDArray[np.uint8]) -> Tensor:
    pixels = torch.tensor(frames).to(vae.device)
    return rearrange(pixels, "f h w c -> 1 c f h w").float() / 127.5 - 1


def _to_frames(x: Tensor) -> NDArray[np.uint8]:
    levels = ((x[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return rearrange(levels, "c f h w -> f h w c").cpu().numpy()


def _patched(vae: Any, x: Tensor) -> Tensor:
    p = vae.config.patch_size or 1
    return rearrange(x, "b c f (h q) (w r) -> b (c r q) f h w", q=p, r=p)


def _unpatched(vae: Any, x: Tensor) -> Tensor:
    p = vae.config.patch_size or 1
    return rearrange(x, "b (c r q) f h w -> b c f (h q) (w r)", q=p, r=p)
