"""FlowEdit (arXiv 2412.08629): inversion-free editing along the difference of two velocities."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from refract.editing.samplers.noise_levels import checked_sigmas, noised_sources
from refract.editing.samplers.velocity import SourceVelocity, Velocity, guided_velocity


@torch.no_grad()
def sample_flowedit(
    velocity: Velocity,
    x_src: Tensor,
    sigmas: Sequence[float] | Tensor,
    *,
    guidance: float,
    generator: torch.Generator | None,
    source_velocity: SourceVelocity,
    ref_guidance: float | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Tensor:
    """Edit `x_src` from its source prompt towards the target prompt.

    Each step draws eps = torch.randn(x_src.shape) from `generator` and computes

        q = (1 - sigma) x_src + sigma eps            p = q + (x - x_src)
        v_p = v(p, negative) + w (v(p, target) - v(p, negative))
        x <- x + (sigma' - sigma)(v_p - v_q)

    with one draw a step (n_avg = 1) and the same rule down to the last step (n_min = 0); where the
    edit begins (n_max) is the first of `sigmas`.

    Args:
        velocity: v(x, sigma, prompt), shaped like x.
        x_src: latents of the source, any shape, floating point.
        sigmas: K + 1 strictly descending noise levels in [0, 1], ending in 0.
        guidance: w, classifier-free guidance towards the target prompt.
        generator: source of eps, on any device; one draw a step, in order.
        source_velocity: gives v_q, the guided velocity of the source, for (step, q, sigma).
        ref_guidance: w_ref of `guided_velocity`; None without one.
        on_step: called with (step, sigma) before each step.
    Returns:
        The edited latents, shaped and typed like `x_src`.
    """
    levels = checked_sigmas(sigmas)
    if not math.isfinite(guidance):
        raise ValueError(f"need a finite guidance, got {guidance}")
    x = x_src
    for step, q in enumerate(noised_sources(x_src, levels, generator)):
        sigma, sigma_next = levels[step], levels[step + 1]
        if on_step is not None:
            on_step(step, sigma)
        p = q + (x - x_src)
        v_q = source_velocity(step, q, sigma)
        v_negative = velocity(p, sigma, "negative")
        v_p = guided_velocity(velocity, p, sigma, v_negative, guidance, ref_guidance)
        x = x + (sigma_next - sigma) * (v_p - v_q)
    return x
