"""Time of several ways to do one thing, measured side by side.

See also `benchmarks.memory` and `benchmarks.tables`.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

# The time of this process says more than that on the wall on a CPU shared with others.
CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Timings:
    """Seconds of each alternative, one value a round; round i of all of them ran side by side."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        """Median seconds of one call."""
        return median(self.seconds[name])

    def ratio(self, name: str, base: str) -> float:
        """How many times as long as `base` it takes: the median of the rounds' own ratios.

        Within a round the load of a shared machine is much the same, so it cancels; it would not
        between two medians from different rounds.
        """
        pairs = zip(self.seconds[name], self.seconds[base], strict=True)
        return median(own / other for own, other in pairs)

    def ratio_range(self, name: str, base: str) -> str:
        """Lowest and highest ratio of a round, for a table."""
        pairs = zip(self.seconds[name], self.seconds[base], strict=True)
        ratios = [own / other for own, other in pairs]
        return f"{min(ratios):.2f} to {max(ratios):.2f}"


def time_interleaved(
    alternatives: Mapping[str, Callable[[], object]],
    *,
    repeats: int = 7,
    warmup: int = 1,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Call every alternative once a round, `repeats` rounds after `warmup` uncounted ones.

    Each round starts with another alternative, so that none always profits from the caches its
    neighbour has filled.

    Raises:
        ValueError: no alternatives, or fewer than one repeat.
    """
    names = list(alternatives)
    if not names or repeats < 1:
        raise ValueError(
            f"{len(names)} alternatives, {repeats} repeats: there must be one of each at least"
        )
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-warmup, repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            taken = _time_one(alternatives[name], device, clock)
            if turn >= 0:
                seconds[name].append(taken)
    return Timings(seconds)


def add_measuring_options(
    parser: argparse.ArgumentParser,
    *,
    repeats: int,
    clock: str = "wall",
    threads: int | None = None,
) -> None:
    """--repeats, --clock and --threads with these defaults."""
    parser.add_argument("--repeats", type=int, default=repeats, help="interleaved rounds")
    parser.add_argument("--clock", choices=CLOCKS, default=clock, help="cpu: of this process")
    parser.add_argument("--threads", type=int, default=threads, help="CPU threads of torch")


def synchronise(device: str) -> None:
    """Wait for the kernels a GPU still works on; a CPU has none."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


def _time_one(call: Callable[[], object], device: str, clock: Callable[[], float]) -> float:
    synchronise(device)
    start = clock()
    call()
    synchronise(device)
    return clock() - start
