"""Seconds and peak memory of a computation's parts, those that run out of memory set apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.memory import extra_peak_bytes
from benchmarks.timing import Timings, synchronise, time_interleaved
from refract.pipeline.device import free_memory

_KERNELS = 15  # of a profile
Call = Callable[[], object]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Parts:
    """timings: of the parts that ran. peaks: bytes of each. lacking: what ran out of memory."""

    timings: Timings
    peaks: Mapping[str, int]
    lacking: frozenset[str]

    def peak(self, *names: str) -> int:
        """The highest of several parts."""
        return max(self.peaks[name] for name in names)


def measure(
    calls: Mapping[str, Call], *, device: str, repeats: int, clock: Callable[[], float]
) -> Parts:
    """Time the parts in interleaved rounds, after one call to warm up and one for the memory."""
    peaks = {}
    for name, call in calls.items():
        peak = unless_out_of_memory(partial(_warm_peak, call, device))
        if peak is not None:
            peaks[name] = peak
    able = {name: call for name, call in calls.items() if name in peaks}
    timings = Timings({})
    if able:
        timings = time_interleaved(able, repeats=repeats, warmup=0, device=device, clock=clock)
    return Parts(timings, peaks, frozenset(calls.keys() - able.keys()))


def unless_out_of_memory(call: Callable[[], Result]) -> Result | None:
    """What `call` returns; None where memory ran out, with what it held given back."""
    try:
        return call()
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
    free_memory()  # out here, where the error no longer holds the frames and their tensors
    return None


def peak_bytes(call: Call, device: str) -> int:
    """Highest memory during `call`, in bytes.

    CUDA: all that is allocated, weights included. Elsewhere: above that before the call.
    """
    if not device.startswith("cuda"):
        return extra_peak_bytes(call, device)
    free_memory()
    torch.cuda.reset_peak_memory_stats(device)
    call()
    synchronise(device)
    return torch.cuda.max_memory_allocated(device)


def profile_table(call: Call, device: str) -> str:
    """torch's table of the kernels that take most of the time of one call."""
    on_gpu = device.startswith("cuda")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as recorded:
        call()
        synchronise(device)
    by = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    table: str = recorded.key_averages().table(
        sort_by=by, row_limit=_KERNELS, max_name_column_width=60
    )
    return table


def _warm_peak(call: Call, device: str) -> int:
    call()
    return peak_bytes(call, device)


def _is_out_of_memory(error: BaseException) -> bool:
    """CUDA's error has a class of its own; the CPU allocator's is a RuntimeError like any other."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(words in str(error) for words in ("can't allocate memory", "out of memory"))
