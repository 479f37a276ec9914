"""Runs side by side see each other by their locks, and wait asleep while they do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from refract.pipeline.core_sharing import (
    IdleThreads,
    Waiting,
    announce,
    count_others,
    leaves_waiting_to_us,
)

ROOT = Path(__file__).parents[2]
USERS_CHOICE = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "REFRACT_THREADS")
OTHER_RUN = """
import sys, time
from pathlib import Path
from refract.pipeline.core_sharing import announce
lock = announce(Path(sys.argv[1]))
print("alive", flush=True)
time.sleep(300)
"""
# Tells, whenever asked, the CPU seconds of fifty waits for work, and the bytes of a sum.
RUN = """
import logging, sys, time
logging.basicConfig(level=logging.INFO)
import torch
from refract.pipeline import core_sharing
from refract.pipeline.device import pick_device
core_sharing._POLL_S = core_sharing._ALONE_S = 0.05
assert pick_device() == pick_device() == "cpu"
numbers = torch.arange(1, 2**20) / 7
for _ in sys.stdin:
    begun = time.process_time()
    for _ in range(50):
        total = (numbers * numbers).sum().item()
        time.sleep(0.01)
    print(time.process_time() - begun, total.hex(), torch.get_num_threads(), flush=True)
"""


class OtherRun:
    """Another process that is alive, as those that share `folder` see, until it is killed."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", OTHER_RUN, str(folder)]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}/src"}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "alive\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[OtherRun]:
    run = OtherRun(tmp_path)
    yield run
    run.kill()


def test_a_run_counts_those_that_are_alive(tmp_path: Path, other: OtherRun) -> None:
    own = announce(tmp_path)
    assert count_others(tmp_path, own) == 1
    second = OtherRun(tmp_path)
    assert count_others(tmp_path, own) == 2
    second.kill()
    assert count_others(tmp_path, own) == 1
    other.kill()
    assert count_others(tmp_path, own) == 0
    assert [str(path) for path in tmp_path.iterdir()] == [own.lock_file], "the dead leave nothing"
    own.release()


def test_threads_wait_asleep_from_the_first_other_run_until_well_after_the_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    idle, spins = create_autospec(IdleThreads, instance=True), []
    waiting = Waiting(idle)
    with caplog.at_level("INFO"):
        for now, others in enumerate([0, 1, 2, 0, 1] + [0] * 12):
            waiting.update(others, float(now))
            spins.append(waiting.spins)
    assert spins == [True] + [False] * 13 + [True] * 3, "ten seconds after the last, at 4"
    assert [name for name, *_ in idle.mock_calls] == ["keep", "let_go"]
    assert caplog.messages == [
        "another run is alive: threads wait asleep, not spinning",
        "no other run is alive any more: threads wait spinning",
    ]


def cpu_seconds_of_waits(run: "subprocess.Popen[str]") -> tuple[float, str]:
    """What RUN tells: the CPU seconds, and all that must never change."""
    assert run.stdin is not None
    assert run.stdout is not None
    print(file=run.stdin, flush=True)
    seconds, _, rest = run.stdout.readline().partition(" ")
    return float(seconds), rest


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="libgomp is Linux's, and on one core it has one thread",
)
def test_a_run_spins_alone_and_sleeps_in_company_with_the_same_results(tmp_path: Path) -> None:
    free = {name: value for name, value in os.environ.items() if name not in USERS_CHOICE}
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        env=free | {"PYTHONPATH": f"{ROOT}/src", "REFRACT_STATE": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        alone, results = cpu_seconds_of_waits(run)
        (folder,) = tmp_path.glob("cores/*")
        other = OtherRun(folder)
        assert "another run is alive" in run.stderr.readline()
        company, same = cpu_seconds_of_waits(run)
        other.kill()
        assert "no other run is alive any more" in run.stderr.readline()
        again, still_same = cpu_seconds_of_waits(run)
        run.kill()
    assert company < alone / 2
    assert company < again / 2
    assert results == same == still_same, "sums and their number of threads"


@pytest.mark.parametrize("name", USERS_CHOICE)
def test_what_the_user_has_set_is_left_alone(name: str) -> None:
    assert leaves_waiting_to_us({"REFRACT_STATE": "state", name: ""})
    assert not leaves_waiting_to_us({"REFRACT_STATE": "state", name: "1"})
