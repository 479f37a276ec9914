"""A few kills, and that a stage which DVC never saw started does not outlive it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.faults import kills
from tests.faults.kill_run import lives

_STARTER = """
import os, signal, subprocess, sys
subprocess.Popen(["sh", "-c", "exec " + sys.argv[1]], env=os.environ | {"DVC_STAGE": "demo"})
signal.pause()
"""
_STAGE = """
import sys, time
from pathlib import Path
started, go, reached = map(Path, sys.argv[1:])
started.touch()
while not go.exists():
    time.sleep(0.01)
from refract.pipeline.stage_runner import run_stage
run_stage("demo", reached.touch)
"""


@pytest.mark.long
def test_a_killed_pipeline_is_finished_with_the_same_bytes() -> None:
    rows = kills.run(seed=0, long=False)
    assert sum(row.losses for row in rows) == 0, rows
    counts = {row.tried: row.count for row in rows}
    assert sum(count for tried, count in counts.items() if tried.startswith("kill -9")) == 3
    assert counts["pipelines whose `dvc repro` was killed on its way, then finished"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="process groups of orphans are read on Linux")
@pytest.mark.parametrize("killed", [True, False])
def test_a_stage_whose_dvc_died_while_python_started_does_nothing(
    tmp_path: Path, killed: bool
) -> None:
    stage = tmp_path / "stage.py"
    stage.write_text(_STAGE)
    started, go, reached = (tmp_path / name for name in ("started", "go", "reached"))
    command = f"{sys.executable} {stage} {started} {go} {reached}"
    dvc = subprocess.Popen([sys.executable, "-c", _STARTER, command], start_new_session=True)
    _wait_until(started.exists)
    (child,) = psutil.Process(dvc.pid).children()
    if killed:
        dvc.send_signal(signal.SIGKILL)
        dvc.wait(10)
    go.touch()
    _wait_until(lambda: not lives(child))
    assert reached.exists() is not killed
    if not killed:
        os.killpg(dvc.pid, signal.SIGKILL)
        dvc.wait(10)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
