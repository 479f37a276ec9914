"""What runs in the processes of a sharding test. It imports little, to start fast."""

import os

import torch
import torch.distributed as dist
from torch import nn

from refract.infrared.training.weight_sharding import (
    Sharding,
    average_gradients,
    held_and_whole,
    shard_frozen,
    take_from_main,
)


class Block(nn.Linear):
    """To be gathered as a whole."""


class Base(nn.Sequential):
    _no_split_modules = ("Block",)


def two_machines(rank: int, folder: str) -> None:
    """Two processes on each; what must hold in every one of them."""
    os.environ.update(LOCAL_WORLD_SIZE="2", LOCAL_RANK=str(rank % 2))
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=4)
    torch.manual_seed(0)
    first, block, other = nn.Linear(4, 8), Block(8, 8), Block(8, 8)
    base = Base(first, block, other, nn.Linear(8, 2))
    base.requires_grad_(False)
    trained = other.weight.requires_grad_()
    picture = torch.randn(3, 4)
    expected = base(picture)

    whole = sum(weight.numel() for weight in base.parameters()) - trained.numel()
    shard_frozen(base, Sharding((), reshard=True), "cpu")
    assert held_and_whole(base) == (whole // 2, whole), "shared by the two of a machine"
    assert other.weight is trained, "whole"
    assert torch.equal(base(picture), expected)
    assert held_and_whole(block) == (36, 72), "given back"

    with torch.no_grad():
        trained.fill_(rank + 1.0)
    take_from_main([trained])
    assert bool((trained == 1.0).all())
    trained.grad = torch.full_like(trained, float(rank))
    average_gradients([trained, first.bias])
    assert bool((trained.grad == 1.5).all()), "the mean of 0, 1, 2, 3"
    dist.destroy_process_group()
