"""`python -m <module> ...` less its imports: a fork of a process that has done them already.

One server a pytest process (multiprocessing's, which starts anew and so holds no threads) imports
what the stages import, once; each run is a fork of it with its own environment, folder, streams
and exit code. Tests of signals at start-up, of import times and of launchers start real commands.
"""

import contextlib
import gc
import multiprocessing
import os
import resource
import runpy
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import psutil

ROOT = Path(__file__).parents[1]
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "refract.models.torchvision_compat",
        "refract.triptychs.preparing.building",
        "refract.infrared.training.job",
        "refract.infrared.inference.job",
        "refract.editing.reference.job",
        "refract.infrared.inference.clip_reference_job",
        "refract.editing.cases.job",
        "refract.evaluation.job",
        "refract.evaluation.edits.baselines",
        "refract.evaluation.edits.clips",
        "refract.evaluation.infrared.evaluation",
        "refract.report.building",
        "refract.models.determinism",
        "pyarrow.parquet",
    ]
)
_STREAMS = ("stdout", "stderr")
_SETTLE_S = 5.0  # for the processes of a module to end after it


class Done(NamedTuple):
    """What came of a run. returncode: negative for a signal, None where it took too long.

    left_running: whether a process that it started, an ffmpeg say, had to be ended after it.
    """

    returncode: int | None
    stdout: str
    stderr: str
    left_running: bool


class ModuleProcess:
    """A running module; the leader of a process group."""

    def __init__(
        self,
        module: str,
        *arguments: str | Path,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        limits: Mapping[int, int] | None = None,
    ) -> None:
        """env: on top of this process's. limits: RLIMIT_... of `resource` to their values."""
        self._folder = Path(tempfile.mkdtemp(prefix="module-"))
        logs = [self._folder / name for name in _STREAMS]
        self._process = SERVER.Process(
            target=_become,
            args=(module, arguments, cwd, os.environ | (env or {}), logs, limits or {}),
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 900) -> Done:
        """What came of it; it is killed at the end of `timeout` seconds."""
        self._process.join(timeout)
        code = self._process.exitcode
        left = code is not None and self._group_lives()
        if code is None or left:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.join()
        out, err = ((self._folder / name).read_text(errors="replace") for name in _STREAMS)
        shutil.rmtree(self._folder)
        return Done(code, out, err, left)

    def _group_lives(self) -> bool:
        deadline = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.02)
        return True


def run_module(
    module: str, *arguments: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> Done:
    """`python -m <module> <arguments>` to its end."""
    return ModuleProcess(module, *arguments, cwd=cwd, env=env).wait()


def start_processes(
    count: int, module: str, *arguments: str | Path, env: Mapping[str, str] | None = None
) -> list[ModuleProcess]:
    """The module in `count` processes that are to meet, as a launcher starts them."""
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    shared = {
        "MASTER_ADDR": "localhost", "MASTER_PORT": port, "REFRACT_DEVICE": "cpu",
        "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), **(env or {}),
    }  # fmt: skip
    return [
        ModuleProcess(module, *arguments, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]


def run_processes(module: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """What two of them have said on stderr until both ended well."""
    ended = [process.wait() for process in start_processes(2, module, *arguments, env=env)]
    said = "".join(done.stderr for done in ended)
    assert [done.returncode for done in ended] == [0, 0], said
    return said


def all_end(*pids: int, patience: float = 10.0) -> bool:
    """Whether these processes end within `patience` seconds; a zombie has."""
    deadline = time.monotonic() + patience
    while running := any(map(_lives, pids)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return not running


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _become(
    module: str,
    arguments: Sequence[str | Path],
    cwd: Path,
    environment: Mapping[str, str],
    logs: Sequence[Path],
    limits: Mapping[int, int],
) -> NoReturn:
    """The child: ends as the interpreter would, and never returns to the server's code."""
    code = 1
    try:
        gc.freeze()  # what the server imported: no collection need look at it
        os.setpgid(0, 0)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        _redirect(logs)
        for kind, limit in limits.items():
            resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
        sys.argv = [module, *map(str, arguments)]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(logs: Sequence[Path]) -> None:
    """Files in place of the streams."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, log in enumerate(logs, start=1):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
