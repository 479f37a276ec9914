"""SDEdit (arXiv 2108.01073) for flow models: noise the source part of the way, then denoise it."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from refract.editing.samplers.noise_levels import checked_sigmas, draw_noise
from refract.editing.samplers.velocity import Velocity, guided_velocity


@torch.no_grad()
def sample_sdedit(
    velocity: Velocity,
    x_src: Tensor,
    sigmas: Sequence[float] | Tensor,
    *,
    guidance: float,
    generator: torch.Generator | None,
    ref_guidance: float | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Tensor:
    """Regenerate `x_src` under the target prompt from its first noise level down.

        x = (1 - sigma_0) x_src + sigma_0 eps
        x <- x + (sigma' - sigma)(v(x, negative) + w (v(x, target) - v(x, negative)))

    What the noise has covered is made anew, so strength trades the source against the prompt.

    Args:
        velocity: v(x, sigma, prompt), shaped like x.
        x_src: latents of the source, any shape, floating point.
        sigmas: K + 1 strictly descending noise levels in [0, 1], ending in 0.
        guidance: w, classifier-free guidance towards the target prompt.
        generator: source of the one eps, on any device.
        ref_guidance: w_ref of `guided_velocity`; None without one.
        on_step: called with (step, sigma) before each step.
    Returns:
        The edited latents, shaped and typed like `x_src`.
    """
    levels = checked_sigmas(sigmas)
    if not math.isfinite(guidance):
        raise ValueError(f"need a finite guidance, got {guidance}")
    x = (1 - levels[0]) * x_src + levels[0] * draw_noise(x_src, generator)
    for step, (sigma, sigma_next) in enumerate(itertools.pairwise(levels)):
        if on_step is not None:
            on_step(step, sigma)
        v_negative = velocity(x, sigma, "negative")
        v = guided_velocity(velocity, x, sigma, v_negative, guidance, ref_guidance)
        x = x + (sigma_next - sigma) * v
    return x
