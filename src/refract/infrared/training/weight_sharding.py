"""FSDP of the frozen base: every GPU holds a part of it and borrows the rest, block by block.

What trains is small and stays whole on every process, as under DDP, whose two services are done
here: the same weights at the start and the mean of the gradients. So the optimiser, the average,
checkpoints and the adapter's files know nothing of the sharding. The frozen weights have no
gradients: all that passes between the GPUs for them is the gathering of a block before its use.
"""

import os
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, fully_shard
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.distributed.tensor import DTensor

from refract.base.errors import InputError


@dataclass(frozen=True)
class Sharding:
    """blocks: classes whose weights are gathered together, none for the model's own choice.
    reshard: a block gives back what it borrowed after the forward pass too, for less memory.
    """

    blocks: tuple[str, ...]
    reshard: bool


def wanted_sharding(processes: int) -> Sharding | None:
    """What `accelerate launch` wants by its `fsdp_config`; None where it wants no FSDP.

    Raises InputError for what would be left out of account here.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return None
    from accelerate.utils import FullyShardedDataParallelPlugin  # slow, and few want it

    try:
        plugin = FullyShardedDataParallelPlugin()
    except ValueError as error:
        raise InputError(f"fsdp_config of accelerate: {error}") from error
    for words in _unsupported(plugin, processes):
        raise InputError(f"accelerate's configuration, {words}; see launch/fsdp.yaml")
    blocks = tuple(name.strip() for name in plugin.transformer_cls_names_to_wrap or ())
    return Sharding(blocks, plugin.reshard_after_forward)


def _unsupported(plugin: Any, processes: int) -> Iterator[str]:
    """What a `FullyShardedDataParallelPlugin` asks for and would not get here, and why not."""
    if processes < 2:
        yield "num_processes must be above 1: FSDP divides the base over several"
    if plugin.fsdp_version != 2:
        yield "fsdp_version must be 2: 1 wants one type of all weights"
    if plugin.auto_wrap_policy is not transformer_auto_wrap_policy:
        yield (
            "fsdp_auto_wrap_policy must be TRANSFORMER_BASED_WRAP: others gather the whole base at "
            "once"
        )
    if isinstance(plugin.cpu_offload, CPUOffloadPolicy):
        yield "fsdp_offload_params must be false: it is not supported"
    if plugin.cpu_ram_efficient_loading:
        yield "fsdp_cpu_ram_efficient_loading must be false: every process reads the base"
    if plugin.activation_checkpointing:
        yield (
            "fsdp_activation_checkpointing must be false: ir_adapter.gradient_checkpointing is it"
        )
    if plugin.ignored_modules:
        yield "fsdp_ignored_modules must not be set: none is ignored"
    if os.environ.get("ACCELERATE_USE_PARALLELISM_CONFIG", "false").lower() == "true":
        yield "use_parallelism_config must be false: the mesh is made of the machines"


def shard_frozen(base: nn.Module, sharding: Sharding, device: str) -> None:
    """Divide the frozen weights of `base` over the processes, in place, and move all to `device`.

    base: on the CPU or on `device`, its blocks in `_no_split_modules` where the launch named none;
    at no time is more than one block of it whole on the device. Needs a process group. Raises
    InputError for a class of which `base` has no block.
    """
    trainable = {weight for weight in base.parameters() if weight.requires_grad}
    for weight in trainable:
        weight.data = weight.data.to(device)
    names = sharding.blocks or tuple(getattr(base, "_no_split_modules", ()))
    mesh = _mesh(torch.device(device).type)
    # FLUX's blocks return slices of one tensor. No one changes these in place, so that all is well.
    warnings.filterwarnings("ignore", r"FSDP2-wrapped module .* returned a view", UserWarning)
    for block in _blocks(base, names):
        fully_shard(
            block, mesh=mesh, reshard_after_forward=sharding.reshard, ignored_params=trainable
        )
    fully_shard(base, mesh=mesh, ignored_params=trainable)  # what is outside of the blocks


def is_sharded(base: nn.Module) -> bool:
    """Whether a forward pass of `base` needs all processes."""
    return isinstance(base, FSDPModule)


def held_and_whole(base: nn.Module) -> tuple[int, int]:
    """Numbers of frozen weights: of those that this process holds, and of all."""
    frozen = [weight for weight in base.parameters() if not weight.requires_grad]
    held = sum((x.to_local() if isinstance(x, DTensor) else x).numel() for x in frozen)
    return held, sum(weight.numel() for weight in frozen)


@torch.no_grad()
def take_from_main(weights: Iterable[Tensor]) -> None:
    """Overwrite whole weights by those of the first process."""
    for weight in weights:
        dist.broadcast(weight, src=0)


def average_gradients(weights: Iterable[Tensor]) -> None:
    """The mean over all processes, in place; a weight has a gradient in all of them or in none."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    started = [dist.all_reduce(gradient, async_op=True) for gradient in gradients]
    for work in started:
        work.wait()
    torch._foreach_div_(gradients, float(dist.get_world_size()))


def _mesh(kind: str) -> DeviceMesh:
    """Each machine that runs several processes shards over its own, of which each has a whole.

    Frozen weights never differ between machines, so nothing passes between them for it; gathering
    over a network would wait for it in every block.
    """
    count, local = dist.get_world_size(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if local in (1, count):
        return init_device_mesh(kind, (count,), mesh_dim_names=("shard",))
    return init_device_mesh(kind, (count // local, local), mesh_dim_names=("machine", "shard"))


def _blocks(base: nn.Module, names: Collection[str]) -> list[nn.Module]:
    blocks = [part for part in base.modules() if type(part).__name__ in names]
    missing = set(names) - {type(block).__name__ for block in blocks}
    if missing or not blocks:
        raise InputError(
            "accelerate's configuration, fsdp_transformer_layer_cls_to_wrap: this model has no "
            f"block of the class {', '.join(sorted(missing)) or '(none named)'}"
        )
    return blocks
