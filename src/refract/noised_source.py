"""The noised source of inversion-free editing: what a source branch sees, step by step."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


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
