"""Euler steps along a velocity field."""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x_t, sigma) -> dx/dsigma, all but sigma [B, ...]


def sample_euler(
    velocity: Velocity,
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
