"""Infrared pictures from conditioning tokens: Euler steps with the adapter in each of them."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.sample_draws import derived_generator
from refract.models.flux_fill import FillVae, TextEmbedding
from refract.models.flux_tokens import unpack_latents
from refract.models.step_cache import cached_pass, step_cache


def item_noise(seed: int, item: str, tokens: int, channels: int, sample: int = 0) -> Tensor:
    """x_1 [tokens, channels] of one item's sample; the same whatever it is batched with."""
    # Sample 0 is what an item had before there were others. Their purpose has a name of its own,
    # since an item's may hold any character.
    parts = (seed, "infer", item) if sample == 0 else (seed, "infer sample", sample, item)
    return torch.randn(tokens, channels, generator=derived_generator(*parts))


@torch.no_grad()
def generate_tokens(
    model: InfraredModel,
    sigmas: Tensor,
    noise: Tensor,
    x_cond: Tensor,
    semantic: Tensor,
    text: TextEmbedding,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Diptych tokens x_0 [B, 2n, 64] from noise of that shape; x_cond [B, 2n, 320].

    K and V of the map are computed once; the adapter acts at every step, since it is part of the
    model's forward. `callback` as in `sample_euler`.
    """
    projected = model.project(semantic)

    def velocity(x_t: Tensor, sigma: Tensor) -> Tensor:
        with cached_pass(model.transformer, "velocity"):
            return model(x_t, sigma.expand(len(x_t)), x_cond, semantic, text, projected)

    with step_cache(model.transformer, model.cache_threshold):
        return sample_euler(velocity, noise, sigmas.to(noise.device), callback)


def decode_infrared(vae: FillVae, tokens: Tensor, rows: int, columns: int) -> Tensor:
    """The right half of decoded diptychs as gray pictures [B, P, P] in [-1, 1], on the CPU.

    rows, columns: tokens of a panel. Both halves are decoded, as both were encoded: the VAE's
    normalisation and its receptive field see the whole diptych.
    """
    pictures = vae.decode(unpack_latents(tokens, rows, 2 * columns))
    right = pictures[..., pictures.shape[-1] // 2 :]
    gray: Tensor = right.float().mean(1)  # the truth has three equal channels
    return gray.cpu()


# (x_t, sigma) -> dx/dsigma, all but sigma [B, ...]
DiptychVelocity = Callable[[Tensor, Tensor], Tensor]


def sample_euler(
    velocity: DiptychVelocity,
    x: Tensor,
    sigmas: Tensor,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Integrate dx = velocity(x, sigma) dsigma from sigmas[0] to sigmas[-1].

    sigmas: K + 1 values, descending to 0. `callback(step, x)` runs after each step.
    """
    for step, (sigma, following) in enumerate(pairwise(sigmas)):
        x = x + (following - sigma) * velocity(x, sigma)
        if callback is not None:
            callback(step, x)
    return x
