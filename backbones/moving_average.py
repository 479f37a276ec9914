"""The moving average of a network's weights, which is what the recipes publish."""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def follow(
    average: Iterable[Tensor], weights: Iterable[Tensor], step: int, decay: float = 0.998
) -> None:
    """Move `average` towards `weights` in place; `step` counts from 1, the first move it more."""
    decay = min(decay, step / (step + 9))
    torch._foreach_lerp_([*average], [*weights], 1 - decay)
