"""Peak memory of one call: of the GPU where there is one, else of this process or its tensors."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.timing import synchronise

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_MEMORY_EVENT = "[memory]"  # of torch's profiler
_RESET_PEAK = "5"  # proc_pid_clear_refs(5): VmHWM falls to the present VmRSS


def extra_peak_bytes(call: Callable[[], object], device: str = "cpu") -> int:
    """Highest memory during `call` above that before it, in bytes.

    CUDA: what torch's allocator gave out. CPU: resident memory, so what the call touches of memory
    that is resident already is not counted: freed memory is given back to the system first, and a
    first use of a library counts as the call's, so call it once before. Some hundred kilobytes of
    noise are usual.

    Raises:
        RuntimeError: neither CUDA nor Linux.
    """
    if device.startswith("cuda"):
        return _cuda_extra(call, device)
    if device != "cpu" or sys.platform != "linux":
        raise RuntimeError(f"peak memory on {device}, {sys.platform}: needs CUDA or Linux")
    return _resident_extra(call)


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """On CUDA all that is allocated during `call`, weights included; else `extra_peak_bytes`."""
    if not device.startswith("cuda"):
        return extra_peak_bytes(call, device)
    before = torch.cuda.memory_allocated(device)
    return before + _cuda_extra(call, device)


def live_peak_bytes(call: Callable[[], object], device: str = "cpu") -> int:
    """Highest sum of living tensors during `call` above that before it, in bytes.

    What torch's allocator gave out, on the CPU as on a GPU. Resident memory
    (`extra_peak_bytes`) also holds what glibc keeps of freed blocks below 32 MiB, which for layers
    of this size moves the figure by half from call to call.
    """
    if device != "cpu":
        return extra_peak_bytes(call, device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == _MEMORY_EVENT]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()  # negative where a tensor is freed
        peak = max(peak, live)
    return peak


def _cuda_extra(call: Callable[[], object], device: str) -> int:
    gc.collect()
    synchronise(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    synchronise(device)
    return torch.cuda.max_memory_allocated(device) - before


def _resident_extra(call: Callable[[], object]) -> int:
    gc.collect()
    _return_freed_memory()
    _CLEAR.write_text(_RESET_PEAK)
    before = _status_bytes("VmRSS")
    call()
    return max(_status_bytes("VmHWM") - before, 0)


def _return_freed_memory() -> None:
    """Pages that glibc holds back after a free would hide as much of the next allocation."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # musl has none, and holds little back
        trim(0)


def _status_bytes(field: str) -> int:
    """A value of /proc/self/status, which the kernel tells in units of 1024 bytes."""
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"{_STATUS}: has no {field}")
