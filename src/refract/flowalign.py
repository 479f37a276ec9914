"""FlowAlign (arXiv 2505.23145): inversion-free editing of a latent by a velocity network."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

Prompt = Literal["source", "target"]
Velocity = Callable[[Tensor, float, Prompt], Tensor]
SourceVelocity = Callable[[int, Tensor, float], Tensor]


def _checked_sigmas(sigmas: Sequence[float] | Tensor) -> list[float]:
    values = [float(sigma) for sigma in sigmas]
    falls = all(high > low for high, low in itertools.pairwise(values))
    if len(values) < 2 or not falls or values[-1] != 0 or not values[0] <= 1:
        raise ValueError(
            f"sigmas must be at least two strictly descending values in [0, 1] that end in 0, "
            f"got {values}"
        )
    return values


def noised_sources(
    x_src: Tensor, sigmas: Sequence[float] | Tensor, generator: torch.Generator | None
) -> Iterator[Tensor]:
    """q = (1 - sigma) x_src + sigma eps for each step, with a fresh eps from `generator` each.

    What the source branch sees: it depends on neither the edit nor the target prompt.
    """
    device = x_src.device if generator is None else generator.device
    for sigma in _checked_sigmas(sigmas)[:-1]:
        eps = torch.randn(x_src.shape, generator=generator, device=device, dtype=x_src.dtype)
        yield (1 - sigma) * x_src + sigma * eps.to(x_src.device)


@torch.no_grad()
def sample_flowalign(
    velocity: Velocity,
    x_src: Tensor,
    sigmas: Sequence[float] | Tensor,
    *,
    guidance: float,
    zeta: float,
    generator: torch.Generator | None,
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
        velocity: v(x, sigma, prompt) with prompt "source" or "target"; shaped like x.
        x_src: latents of the source, any shape, floating point.
        sigmas: K + 1 strictly descending noise levels in [0, 1], ending in 0.
        guidance: w; 0 follows the source prompt, 1 the target prompt, above 1 overshoots.
        zeta: weight of the source-consistency term, >= 0.
        generator: source of eps, on any device; one draw a step, in order.
        source_velocity: gives v_q for (step, q, sigma) where it is recorded or replayed;
            the default evaluates `velocity(q, sigma, "source")`.
        share_first_source: at the first step p = q, so v(p, source) is v_q and need not be
            computed again. Say False where the two differ, e.g. when only the edited branch
            sees a reference.
        on_step: called with (step, sigma) before each step.
    Returns:
        The edited latents, shaped and typed like `x_src`.
    """
    levels = _checked_sigmas(sigmas)
    if not math.isfinite(guidance) or not (math.isfinite(zeta) and zeta >= 0):
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
        v_p = v_p_source + guidance * (velocity(p, sigma, "target") - v_p_source)
        consistency = (q - sigma * v_q) - (p - sigma * v_p)
        x = x + (sigma_next - sigma) * (v_p - v_q) + zeta * consistency
    return x
