"""Run a stage on a world in a forked child, which has all imports already, or as a command."""

import contextlib
import os
import resource
import runpy
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple, NoReturn

from tests.faults.malformed_world import ROOT, World

LIMIT_S = 60.0  # a case's time; the slowest takes a twentieth of it
_MOST_BYTES = 12 << 30  # of address space: torch alone maps some
_SETTLE_S = 5.0  # for the processes of a stage to end after it

# What the six stages import in `main`.
STAGE_MODULES = (
    "refract.triptychs.preparing.building",
    "refract.infrared.training.job",
    "refract.infrared.inference.job",
    "refract.editing.reference.job",
    "refract.infrared.inference.clip_reference_job",
    "refract.editing.cases.job",
    "refract.editing.reference.photo",
    "refract.evaluation.job",
    "refract.evaluation.judge",
    "refract.report.building",
    "refract.models.determinism",
    "pyarrow.parquet",
)


class Done(NamedTuple):
    """What came of a run. code: None where it had to be ended after `LIMIT_S`."""

    code: int | None
    stdout: str
    stderr: str
    seconds: float
    left_running: bool = False


def fork_stage(world: World, stage: str, *, file_bytes: int = resource.RLIM_INFINITY) -> Done:
    """What `python -m stages.<stage>` does in the folder of `world`, less the imports.

    file_bytes: how long a file may get, its log too.
    The parent must hold no threads that work: it only imports, all else is done by children.
    """
    started = time.monotonic()
    logs = [world.folder.with_name(f"{world.folder.name}.{kind}") for kind in ("out", "err")]
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_stage(world, stage, logs, file_bytes)
    code = _wait(child, started + LIMIT_S)
    left = _group_lives(child)
    if code is None or left:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    stdout, stderr = (log.read_text(errors="replace") for log in logs)
    for log in logs:
        log.unlink()
    return Done(code, stdout, stderr, time.monotonic() - started, left)


def command_stage(world: World, stage: str) -> Done:
    """The command itself, in the folder of `world`."""
    started = time.monotonic()
    command = [sys.executable, "-m", f"stages.{stage}", *world.arguments(stage)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | _environment(world) | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        command, cwd=world.folder, env=environment, capture_output=True, check=False,
        timeout=4 * LIMIT_S,
    )  # fmt: skip
    stdout, stderr = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return Done(done.returncode, stdout, stderr, time.monotonic() - started)


def _environment(world: World) -> dict[str, str]:
    return {"REFRACT_STATE": str(world.path("state")), "REFRACT_THREADS": "1", "DVC_ROOT": "."}


def _be_stage(world: World, stage: str, logs: list[Path], file_bytes: int) -> NoReturn:
    """The child: never returns to the parent's code."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(world.folder)
        os.environ.update(_environment(world))
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
        _redirect(logs)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
        sys.argv = [stage, *world.arguments(stage)]
        runpy.run_module(f"stages.{stage}", run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # as the interpreter does at the end of a script
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(logs: list[Path]) -> None:
    """Files in place of the three streams; pytest and others may have put objects over them."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, log in enumerate(logs, start=1):
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _wait(child: int, deadline: float) -> int | None:
    """The exit code of a child, negative for a signal; None at the deadline."""
    pause = 0.002
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return None


def _group_lives(group: int) -> bool:
    """Whether a process of a child that has ended, an ffmpeg say, goes on without it."""
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    return True
