"""`$REFRACT_PROCESSES`: which processes run, what they end with, and that none outlives another."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from refract.base.errors import InputError
from refract.pipeline.launcher import wanted_processes
from tests.stage_process import all_end

ROOT = Path(__file__).parents[2]
HEADER = """
import os, signal, sys, time
from refract.base.errors import InputError
from refract.pipeline.launcher import launch_processes
from refract.pipeline.stage_runner import run_stage

def main():
    launch_processes()
    work(int(os.environ.get("RANK", "0")))
"""
FOREVER = """
def work(rank):
    print(f"{os.getpid()}\\n", end="", flush=True)
    time.sleep(300)
"""


def start(tmp_path: Path, body: str, processes: int = 2) -> subprocess.Popen[str]:
    script = tmp_path / "stage.py"
    script.write_text(HEADER + textwrap.dedent(body) + "\nrun_stage('demo', main)\n")
    variables = {
        "REFRACT_PROCESSES": str(processes), "REFRACT_DEVICE": "cpu",
        "TMPDIR": str(tmp_path),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, str(script), "--own", "argument"],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(tmp_path: Path, body: str) -> tuple[int, str, str]:
    stage = start(tmp_path, body)
    out, err = stage.communicate(timeout=120)
    return stage.returncode, out, err


def test_each_process_runs_the_command_with_its_share_of_the_machine(tmp_path: Path) -> None:
    body = """
    def work(rank):
        assert os.environ["WORLD_SIZE"] == "2" and os.environ["LOCAL_RANK"] == str(rank)
        assert "REFRACT_LAUNCHER_PID" not in os.environ, "a process of theirs has another parent"
        print(f"{rank} {sys.argv[1:]} {os.environ['OMP_NUM_THREADS']}\\n", end="", flush=True)
    """
    code, out, err = run(tmp_path, body)
    assert (code, err) == (0, "")
    threads = os.environ["OMP_NUM_THREADS"]  # of conftest
    assert sorted(out.splitlines()) == [f"{r} ['--own', 'argument'] {threads}" for r in (0, 1)]
    assert [path.name for path in tmp_path.iterdir()] == ["stage.py"], "no folder of logs is left"


def test_the_exit_code_and_the_one_line_of_the_process_that_failed(tmp_path: Path) -> None:
    body = """
    def work(rank):
        if rank == 0:
            raise InputError("params.yaml: steps = 0: must be >= 1")
        time.sleep(300)
    """
    assert run(tmp_path, body) == (
        2, "", "refract demo: error: params.yaml: steps = 0: must be >= 1\n",
    )  # fmt: skip


def test_a_killed_process_ends_the_others_and_is_named(tmp_path: Path) -> None:
    body = """
    def work(rank):
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(300)
    """
    code, out, err = run(tmp_path, body)
    assert (code, out) == (137, "")
    assert err.count("\n") == 1 and err.endswith("process 2 was ended by SIGKILL\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
@pytest.mark.parametrize(
    ("way", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_no_process_outlives_its_launcher(tmp_path: Path, way: signal.Signals, code: int) -> None:
    stage = start(tmp_path, FOREVER)
    assert stage.stdout is not None
    workers = [int(stage.stdout.readline()) for _ in range(2)]
    stage.send_signal(way)
    _, err = stage.communicate(timeout=60)
    assert stage.returncode == code
    interrupted = "refract demo: error: interrupted; finished items are kept\n"
    assert err == (interrupted if way is signal.SIGINT else "")
    assert all_end(*workers)


def test_of_several_interrupted_processes_the_first_says_so(tmp_path: Path) -> None:
    """At once: what `torchrun` interrupts it kills after a while."""
    script = tmp_path / "stage.py"
    body = "def main():\n    raise KeyboardInterrupt\n"
    script.write_text(f"{HEADER}\n{body}run_stage('demo', main)\n")
    own = os.environ | {"RANK": "1"}
    done = subprocess.run([sys.executable, str(script)], env=own, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_a_process_whose_launcher_died_first_does_not_start(tmp_path: Path) -> None:
    """Or it would wait for the others, who are not to come, for ever."""
    script = tmp_path / "stage.py"
    script.write_text(
        "from refract.pipeline.stage_runner import run_stage\n"
        "run_stage('demo', lambda: print('ran'))\n"
    )
    gone = os.environ | {"REFRACT_LAUNCHER_PID": "1"}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, env=gone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("value", ["0", "1025", "-1", "two", "1.5", "²"])
def test_a_number_of_processes_that_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("REFRACT_PROCESSES", value)
    with pytest.raises(InputError, match=r"\$REFRACT_PROCESSES = .*: must be 1 to 1024"):
        wanted_processes()


@pytest.mark.parametrize(("value", "count"), [("", 1), ("1", 1), ("1024", 1024)])
def test_numbers_of_processes(monkeypatch: pytest.MonkeyPatch, value: str, count: int) -> None:
    monkeypatch.setenv("REFRACT_PROCESSES", value)
    assert wanted_processes() == count
