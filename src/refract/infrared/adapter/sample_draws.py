"""Random draws of a training run as pure functions of (seed, position).

No generator state has to be saved: a resumed run, or one spread over other processes, draws the
same values for the same sample.
"""

import hashlib
import math

import torch
from torch import Tensor


def derived_generator(*parts: object) -> torch.Generator:
    """A CPU generator seeded by a hash of `parts` (say seed, purpose, index)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))


def item_at(seed: int, position: int, count: int) -> int:
    """Index of the sample at `position` of an endless series of shuffled epochs of `count`."""
    epoch, place = divmod(position, count)
    order = torch.randperm(count, generator=derived_generator(seed, "order", epoch))
    return int(order[place])


def noise_and_time(
    seed: int, position: int, shape: tuple[int, ...], shift: float = 1.0
) -> tuple[Tensor, Tensor]:
    """x_1 of `shape` and t = sigmoid(normal + ln shift), a scalar, for the sample at `position`.

    shift: timestep shift of SD3 (arXiv 2403.03206), t -> shift t / (1 + (shift - 1) t), here of a
    logit-normal t; above 1 moves training towards noise.
    """
    generator = derived_generator(seed, "noise", position)
    t = torch.sigmoid(torch.randn((), generator=generator) + math.log(shift))
    return torch.randn(shape, generator=generator), t
