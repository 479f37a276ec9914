"""The noise levels of an edit, and the noised source of inversion-free editing at each of them."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from refract.base.errors import InputError


def checked_sigmas(sigmas: Sequence[float] | Tensor) -> list[float]:
    """`sigmas` as numbers; ValueError unless they fall strictly from at most 1 to 0."""
    values = [float(sigma) for sigma in sigmas]
    falls = all(high > low for high, low in itertools.pairwise(values))
    if len(values) < 2 or not falls or values[-1] != 0 or not values[0] <= 1:
        raise ValueError(
            f"sigmas must be at least two strictly descending values in [0, 1] that end in 0, "
            f"got {values}"
        )
    return values


def draw_noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """eps shaped and typed like `like`, from a generator on any device."""
    device = like.device if generator is None else generator.device
    eps = torch.randn(like.shape, generator=generator, device=device, dtype=like.dtype)
    return eps.to(like.device)


def noised_sources(
    x_src: Tensor, sigmas: Sequence[float] | Tensor, generator: torch.Generator | None
) -> Iterator[Tensor]:
    """q = (1 - sigma) x_src + sigma eps for each step, with a fresh eps from `generator` each.

    What the source branch sees: it depends on neither the edit nor the target prompt.
    """
    for sigma in checked_sigmas(sigmas)[:-1]:
        yield (1 - sigma) * x_src + sigma * draw_noise(x_src, generator)


def kept_steps(steps: int, strength: float) -> int:
    """K = round(steps * strength) of `edit_sigmas`."""
    return round(steps * strength)


def edit_sigmas(steps: int, strength: float, shift: float) -> tuple[float, ...]:
    """K + 1 descending noise levels ending in 0, with K = `kept_steps`.

    The full schedule is sigma = shift * t / (1 + (shift - 1) * t) for t = 1, ..., 0 in `steps`
    equal steps (Esser et al., arXiv 2403.03206); an edit of strength < 1 leaves out its first
    part, so a little of the source's layout always survives.

    Args:
        steps: steps of the full schedule, >= 1.
        strength: share of the schedule that is run, in (0, 1].
        shift: > 0; above 1 spends more steps at high noise.
    """
    kept = kept_steps(steps, strength)
    if kept < 1:
        raise InputError(
            f"flowalign.strength = {strength:g} with flowalign.steps = {steps} leaves no step to "
            f"run: steps * strength must be at least 0.5"
        )
    times = [step / steps for step in range(kept, -1, -1)]
    return tuple(shift * t / (1 + (shift - 1) * t) for t in times)
