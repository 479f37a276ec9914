"""Peak of the memory that a call's tensors hold at one time, whatever the system keeps resident."""

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

from benchmarks.memory import extra_peak_bytes

_MEMORY_EVENT = "[memory]"


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
