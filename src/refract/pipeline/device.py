"""The compute device of this run."""

import gc
import os
import re
import sys

from refract.base.errors import InputError, shorten
from refract.pipeline.core_sharing import share_cores
from refract.pipeline.gpu_claim import claim_gpus, wants_own_gpu


def pick_device() -> str:
    """The device to compute on: `cuda`, `cuda:N`, `mps` or `cpu`.

    `$REFRACT_DEVICE` where it names one, else the first kind that is there. Where it names none and
    several GPUs are visible, the run claims one that no other run has claimed, and waits for it
    where need be; it is the same at every call. Of several processes of one launch each gets a GPU
    of its own, `cuda:$LOCAL_RANK`. On the CPU it shares the cores with other runs.

    Raises InputError where the variable names no device or one this machine lacks, or one GPU for
    several processes.
    """
    import torch  # not at module level: commands that only parse arguments must start fast

    device = _wanted()
    if device == "cpu":
        share_cores()
    if not device.startswith("cuda"):
        return device
    if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        return _gpu_of_process(device)
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1  # one process on each of several machines
    if launched or not wants_own_gpu() or torch.cuda.device_count() < 2:
        return device
    (index,) = claim_gpus(1)
    torch.cuda.set_device(index)  # or what names no device would go to another run's
    return f"cuda:{index}"


def core_count() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def device_kind() -> str:
    """`cuda`, `mps` or `cpu`: what `pick_device` would pick, without a claim or a number."""
    return _wanted().partition(":")[0]


def _wanted() -> str:
    """What `$REFRACT_DEVICE` names, held against what is there, else the first kind there is."""
    import torch

    wanted = os.environ.get("REFRACT_DEVICE", "")
    if wanted and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", wanted):
        raise InputError(
            f"$REFRACT_DEVICE = {shorten(wanted)}: must be auto, cpu, mps, cuda or cuda:N"
        )
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted in ("", "auto"):
        if os.environ.get("ACCELERATE_USE_CPU") == "True":  # accelerate launch --cpu
            return "cpu"
        return next((kind for kind, there in available.items() if there), "cpu")
    kind, _, index = wanted.partition(":")
    present = kind == "cpu" or available[kind]
    if not present or (index and int(index) >= torch.cuda.device_count()):
        raise InputError(f"$REFRACT_DEVICE = {wanted!r}: this machine has no such device")
    return wanted


def _gpu_of_process(device: str) -> str:
    """This process's GPU, where a launcher has started several processes on this machine."""
    import torch

    count = os.environ["LOCAL_WORLD_SIZE"]
    if device != "cuda":
        raise InputError(f"$REFRACT_DEVICE = {device!r}: must be cuda for {count} processes")
    present = torch.cuda.device_count()
    if int(count) > present:
        raise InputError(f"{count} processes, but this machine has {present} GPU(s): one for each")
    return f"cuda:{os.environ['LOCAL_RANK']}"


def free_memory() -> None:
    """Give back what deleted models held, before another one loads."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
