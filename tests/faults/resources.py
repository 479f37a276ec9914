"""Memory, file handles, threads and processes over many items, and of single large inputs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.faults.row import Row

TITLE = "Memory and file handles"
ROOT = Path(__file__).parents[2]
_MIB = 1 << 20
# Of the median between 20% and 40% of the items and that of the last 30%: allocators settle first.
MOST_GROWTH_MIB = 4.0
MOST_HANDLES = 2  # between the same medians; a sample may see a file that is being written

Sample = list[int]  # items, resident bytes, open files, threads, child processes


def run(seed: int, long: bool) -> list[Row]:
    """The draws of these items have seeds of their own, so `seed` changes nothing."""
    del seed
    # An edit is three items: what its source makes (which two may share), the edit, its views.
    counts = {"edits": 220, "banks": 500, "pictures": 500} if long else {"pictures": 60}
    rows = [_items(kind, count) for kind, count in counts.items()]
    return [*rows, *_large_inputs(long)]


def _items(kind: str, count: int) -> Row:
    """One job over `count` edits, banks or pictures, in a process of its own."""
    samples = measure("tests.faults.resource_items", kind, str(count))
    growth, faults = judged(samples)
    outcome = f"{growth:+.1f} MiB, {samples[-1][2]} files, {samples[-1][3]} threads at the end"
    return Row(f"{kind} in one process", samples[-1][0], outcome, faults)


def measure(module: str, *arguments: str) -> list[Sample]:
    """What `module` prints, run on one thread with a folder and a store of its own."""
    with TemporaryDirectory() as place:
        environment = os.environ | {
            "REFRACT_STATE": str(Path(place, "state")), "REFRACT_THREADS": "1",
            "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        }  # fmt: skip
        command = [sys.executable, "-m", module, *arguments, place]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr[-2000:]}")
    samples: list[Sample] = json.loads(done.stdout)
    return samples


def judged(samples: list[Sample]) -> tuple[float, int]:
    """(MiB by which memory grew, how many of memory, files, threads and children did not stay)."""
    last = samples[-1][0]
    early = [sample for sample in samples if 0.2 * last <= sample[0] <= 0.4 * last]
    late = [sample for sample in samples if sample[0] >= 0.7 * last]
    if not early or not late:
        raise RuntimeError(f"{len(samples)} samples of {last} items are too few to judge")
    memory, files, threads = (
        median(sample[place] for sample in late) - median(sample[place] for sample in early)
        for place in (1, 2, 3)
    )
    growth = memory / _MIB
    remaining = samples[-1][4]
    faults = [growth > MOST_GROWTH_MIB, files > MOST_HANDLES, threads > 1, remaining > 0]
    return growth, sum(faults)


# (what is tried, its name in resource_inputs, MiB that it may take, seconds of a processor)
_INPUTS: tuple[tuple[str, str, float, float], ...] = (
    ("17 of 4,000 frames of 832 x 480", "clip", 150, 5),
    ("picture of 12,000 x 12,000 pixels", "picture", 1700, 60),
    ("picture beyond the limit of pixels", "bomb", 60, 5),
    ("table of 50,000 rows", "table", 150, 60),
    ("settings of 100 MB", "settings", 20, 5),
)
_SHORT = ("clip", "bomb", "settings")


def _large_inputs(long: bool) -> list[Row]:
    """Each read by a process of its own; a loss is more memory or time than it may take."""
    rows = []
    for tried, kind, most_mib, most_s in _INPUTS:
        if long or kind in _SHORT:
            (sample,) = measure("tests.faults.resource_inputs", kind)
            mib, seconds = sample[0] / _MIB, sample[1] / 1000
            outcome = f"{mib:.0f} MiB on top (at most {most_mib:g}), {seconds:.1f} CPU s"
            faults = (mib > most_mib) + (seconds > most_s)
            rows.append(Row(tried, 1, outcome, faults))
    return rows
