"""Random draws of a training run as pure functions of (seed, position).

No generator state has to be saved: a resumed run, or one spread over other processes, draws the
same values for the same sample.
"""

import hashlib

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


def noise_and_time(seed: int, position: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """x_1 of `shape` and t = sigmoid(normal), a scalar, for the sample at `position`."""
    generator = derived_generator(seed, "noise", position)
    t = torch.sigmoid(torch.randn((), generator=generator))
    return torch.randn(shape, generator=generator), t
