"""The compute device of this run."""

import gc
import os
import re

from refract.errors import InputError, shorten


def pick_device() -> str:
    """`$REFRACT_DEVICE` where set, else `cuda`, `mps` or `cpu`, the first that is there.

    Of several processes of one launch each gets a GPU of its own, `cuda:$LOCAL_RANK`.
    Raises InputError where the variable names no device or one this machine lacks, or one GPU for
    several processes.
    """
    import torch  # not at module level: commands that only parse arguments must start fast

    wanted = os.environ.get("REFRACT_DEVICE", "")
    if wanted and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", wanted):
        raise InputError(f"$REFRACT_DEVICE = {shorten(wanted)}: must be cpu, mps, cuda or cuda:N")
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not wanted and os.environ.get("ACCELERATE_USE_CPU") == "True":  # accelerate launch --cpu
        return "cpu"
    if not wanted:
        return _own(next((kind for kind, there in available.items() if there), "cpu"))
    kind, _, index = wanted.partition(":")
    present = kind == "cpu" or available[kind]
    if not present or (index and int(index) >= torch.cuda.device_count()):
        raise InputError(f"$REFRACT_DEVICE = {wanted!r}: this machine has no such device")
    return _own(wanted)


def _own(device: str) -> str:
    """This process's device, where a launcher has started several of them on this machine."""
    import torch

    count = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if count == 1 or not device.startswith("cuda"):
        return device
    if device != "cuda":
        raise InputError(f"$REFRACT_DEVICE = {device!r}: must be cuda for {count} processes")
    present = torch.cuda.device_count()
    if count > present:
        raise InputError(f"{count} processes, but this machine has {present} GPU(s): one for each")
    return f"cuda:{os.environ['LOCAL_RANK']}"


def free_memory() -> None:
    """Give back what deleted models held, before another one loads."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
