"""FlowAlign (arXiv 2505.23145): inversion-free editing of a latent by a velocity network."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from refract.editing.samplers.noise_levels import checked_sigmas, noised_sources
from refract.editing.samplers.velocity import SourceVelocity, Velocity, guided_velocity

# (step, sigma) -> weights of the source-consistency term, which x is multiplied with elementwise
ZetaMap = Callable[[int, float], Tensor]


@torch.no_grad()
def sample_flowalign(
    velocity: Velocity,
    x_src: Tensor,
    sigmas: Sequence[float] | Tensor,
    *,
    guidance: float,
    zeta: float | ZetaMap,
    generator: torch.Generator | None,
    ref_guidance: float | None = None,
    source_velocity: SourceVelocity | None = None,
    share_first_source: bool = True,
    on_step: Callable[[int, float], None] | None = None,
) -> Tensor:
    """Edit `x_src` from its source prompt towards the target prompt.

    Each step draws eps = torch.randn(x_src.shape) from `generator` and computes

        q = (1 - sigma) x_src + sigma eps            p = q + (x - x_src)
        v_q = v(q, source)                           v_p = v(p, source)
                                                         + w (v(p, target) - v(p, source))
        x <- x + (sigma' - sigma)(v_p - v_q) + zeta [(q - sigma v_q) - (p - sigma v_p)]

    so equal prompts leave every bit of x_src in place.

    Args:
        velocity: v(x, sigma, prompt), shaped like x.
        x_src: latents of the source, any shape, floating point.
        sigmas: K + 1 strictly descending noise levels in [0, 1], ending in 0.
        guidance: w; 0 follows the source prompt, 1 the target prompt, above 1 overshoots.
        zeta: weight of the source-consistency term, >= 0; or a map of weights that spread to the
            shape of x, asked for once a step, after the step's velocities.
        generator: source of eps, on any device; one draw a step, in order.
        ref_guidance: w_ref of `guided_velocity`; None without one.
        source_velocity: gives v_q for (step, q, sigma) where it is recorded or replayed;
            the default evaluates `velocity(q, sigma, "source")`.
        share_first_source: at the first step p = q, so v(p, source) is v_q and need not be
            computed again. Say False where the two differ, e.g. when only the edited branch
            sees a reference.
        on_step: called with (step, sigma) before each step.
    Returns:
        The edited latents, shaped and typed like `x_src`.
    """
    levels = checked_sigmas(sigmas)
    if not math.isfinite(guidance) or not _is_weight(zeta):
        raise ValueError(f"need a finite guidance and zeta >= 0, got {guidance} and {zeta}")
    x = x_src
    for step, q in enumerate(noised_sources(x_src, levels, generator)):
        sigma, sigma_next = levels[step], levels[step + 1]
        if on_step is not None:
            on_step(step, sigma)
        p = q + (x - x_src)
        if source_velocity is None:
            v_q = velocity(q, sigma, "source")
        else:
            v_q = source_velocity(step, q, sigma)
        v_p_source = v_q if step == 0 and share_first_source else velocity(p, sigma, "source")
        v_p = guided_velocity(velocity, p, sigma, v_p_source, guidance, ref_guidance)
        weight = zeta(step, sigma) if callable(zeta) else zeta
        consistency = (q - sigma * v_q) - (p - sigma * v_p)
        x = x + (sigma_next - sigma) * (v_p - v_q) + weight * consistency
    return x


def _is_weight(zeta: float | ZetaMap) -> bool:
    return callable(zeta) or (math.isfinite(zeta) and zeta >= 0)
