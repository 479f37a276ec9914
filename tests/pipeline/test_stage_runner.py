"""The runner as a process: exit codes, one-line errors, death with the parent, start-up time."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.stage_process import all_end

HEADER = """
import sys
from refract.base.errors import InputError
from refract.pipeline.stage_runner import run_stage
"""


def run(tmp_path: Path, body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "stage.py"
    script.write_text(HEADER + textwrap.dedent(body))
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_success(tmp_path: Path) -> None:
    done = run(tmp_path, "run_stage('demo', lambda: None)")
    assert (done.returncode, done.stderr) == (0, "")


def test_bad_input_is_one_line_and_exit_2(tmp_path: Path) -> None:
    body = """
    def main():
        raise InputError('params.yaml: steps = 0:\\n must be >= 1')
    run_stage('demo', main)
    """
    done = run(tmp_path, body)
    assert done.returncode == 2
    assert done.stderr == "refract demo: error: params.yaml: steps = 0: must be >= 1\n"


def test_a_defect_keeps_its_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "run_stage('demo', lambda: 1 / 0)")
    assert done.returncode == 1 and "Traceback" in done.stderr
    other = run(tmp_path, "run_stage('demo', lambda: (_ for _ in ()).throw(RuntimeError('odd')))")
    assert other.returncode == 1 and "Traceback" in other.stderr


def test_keyboard_interrupt_is_130(tmp_path: Path) -> None:
    body = """
    def main():
        raise KeyboardInterrupt
    run_stage('demo', main)
    """
    done = run(tmp_path, body)
    assert done.returncode == 130 and "Traceback" not in done.stderr


@pytest.mark.parametrize("error", ["MemoryError()", "torch.OutOfMemoryError('CUDA out of memory')"])
def test_out_of_memory_names_settings_and_values(tmp_path: Path, error: str) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("ir_adapter: {batch: 16}\n")
    body = f"""
    def main():
        import torch
        raise {error}
    run_stage('demo', main, memory_keys=['ir_adapter.batch', 'ir_adapter.absent'])
    """
    done = run(tmp_path, body, "--params", str(params))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "lower ir_adapter.batch = 16, ir_adapter.absent = ?" in done.stderr


def test_log_lines_go_to_stderr_at_the_chosen_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
    import logging
    def main():
        logging.getLogger('refract.x').info('seen')
        logging.getLogger('refract.x').debug('shapes')
        logging.getLogger('somebody.else').info('noise')
    run_stage('demo', main)
    """
    done = run(tmp_path, body)
    assert done.stdout == "" and "INFO    seen" in done.stderr
    assert "shapes" not in done.stderr and "noise" not in done.stderr
    monkeypatch.setenv("REFRACT_LOG", "debug")
    assert "shapes" in run(tmp_path, body).stderr


def test_of_several_processes_only_the_first_says_more_than_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
    import logging
    def main():
        logging.getLogger('refract.x').info('progress')
        logging.getLogger('refract.x').warning('trouble')
    run_stage('demo', main)
    """
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert "progress" in run(tmp_path, body).stderr
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("REFRACT_LOG", "debug")
    said = run(tmp_path, body).stderr
    assert "trouble" in said and "progress" not in said


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_process_fails_at_once_and_another_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    body = """
    import time
    import refract.pipeline.stage_runner
    refract.pipeline.stage_runner._PRECEDENCE_S = 0.5
    start = time.monotonic()
    def main():
        raise InputError('bad')
    try:
        run_stage('demo', main)
    finally:
        print(time.monotonic() - start)
    """
    monkeypatch.setenv("RANK", rank)
    done = run(tmp_path, body)
    assert (done.returncode, done.stderr) == (2, "refract demo: error: bad\n")
    assert (float(done.stdout) >= 0.5) == (rank == "1")


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_stage_dies_with_the_process_that_started_it(tmp_path: Path, shell: str) -> None:
    """As DVC starts it: `$SHELL -c 'exec python ...'`; killing DVC must not orphan the stage."""
    stage = tmp_path / "stage.py"
    body = "import os, time\ndef main():\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
    stage.write_text(f"{HEADER}\n{body}run_stage('demo', main)\n")
    starter = (
        "import subprocess, sys\n"
        f"subprocess.run([{shell!r}, '-c', 'exec {sys.executable} {stage}'])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    assert all_end(child)
