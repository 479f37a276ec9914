"""DVC's experiment queue as a sweep needs it. All use of DVC's queue classes is here.

Queued rather than `dvc exp run --temp` in parallel: `--temp` runs take whichever stashed experiment
comes first, so two at once can swap theirs. DVC's workers are daemons; they end by themselves some
seconds after the last experiment.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psutil
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.repo.experiments.refs import ExpRefInfo

from refract.base.errors import InputError
from refract.experiments.ablation.points import hydra_override

logging.getLogger("kombu.connection").setLevel(logging.ERROR)  # warns that the queue is local

State = Literal["finished", "running", "queued", "gone"]
_ASKED_TIMES = 5
_SETTLE_S = 30.0  # how long killed experiments may take to clear up


class ExperimentQueue:
    """Experiments of one commit, by name."""

    def __init__(self, repo: Repo, commit: str) -> None:
        self._repo, self._commit = repo, commit
        self._queue = repo.experiments.celery_queue
        self._lifeless: dict[str, float] = {}  # name -> when it was first seen so

    def revision(self, name: str) -> str | None:
        """The commit of a finished experiment."""
        ref = str(ExpRefInfo(baseline_sha=self._commit, name=name))
        found: str | None = self._repo.scm.get_ref(ref)
        return found

    def twin(self, name: str) -> str | None:
        """A finished experiment of another sweep whose name ends in the same digest."""
        ending = f"-{name.rpartition('-')[2]}"
        references = self._repo.scm.iter_refs(base=str(ExpRefInfo(baseline_sha=self._commit)))
        found = (reference.rpartition("/")[2] for reference in references)
        return next((other for other in sorted(found) if other.endswith(ending)), None)

    def states(self, names: Mapping[str, str | None] | list[str]) -> dict[str, State]:
        """What each experiment is doing; `gone` where DVC's queue and its results lack it."""
        # In the order in which an experiment moves, so that none is missed in between.
        queued = {entry.name for entry in self._queue.iter_queued()}
        running = {entry.name for entry in self._queue.iter_active()}
        return {name: self._state(name, queued, running) for name in names}

    def _state(self, name: str, queued: set[str], running: set[str]) -> State:
        if name in running:  # first: its result is there before it has cleared up
            return "running"
        if self.revision(name) is not None:
            return "finished"
        return "queued" if name in queued else "gone"

    def others(self, names: list[str]) -> list[str]:
        """Queued experiments that are none of `names`; the workers take them too."""
        return [entry.name for entry in self._queue.iter_queued() if entry.name not in names]

    def put(self, name: str, overrides: Mapping[str, Any]) -> None:
        """Queue an experiment of the present working tree with settings changed.

        DVC stashes the working tree and puts it back; Ctrl-C waits for that.

        Raises:
            InputError: another DVC command holds the repository, or DVC refuses the experiment.
        """
        self._forget(name)
        params = [hydra_override(key, value) for key, value in overrides.items()]
        files = {"params.yaml": params} if params else {}
        try:
            with _uninterrupted(), lock_repo(self._repo):
                self._repo.experiments.queue_one(self._queue, params=files, name=name)
        except LockError as error:
            raise InputError(
                "another DVC command is at work in this repository; wait for it"
            ) from error
        except DvcException as error:
            raise InputError(f"{name}: DVC cannot queue it: {error}") from error

    def _forget(self, name: str) -> None:
        """Remove what a failed run of the same name left in the queue's record."""
        done = {entry.name for entry, _ in self._queue.iter_done()}
        if name in done:
            self._queue.remove([name])

    def start_workers(self, jobs: int) -> None:
        """See that `jobs` workers run; they find `dvc` and `python` beside this interpreter."""
        here = str(Path(sys.executable).parent)
        if os.environ.get("PATH", "").split(os.pathsep)[0] != here:
            os.environ["PATH"] = os.pathsep.join([here, os.environ.get("PATH", os.defpath)])
        self._queue.start_workers(jobs)

    def lost(self, names: list[str], patience_s: float = 0.0) -> list[str]:
        """Those whose worker died, a reboot for instance, so that they would "run" for ever.

        Without a living process an experiment is being set up or collected by its worker, which
        says so when asked; it is asked several times, since a busy machine answers late.
        patience_s: how long it must have been lifeless, from look to look.
        """
        now = time.monotonic()
        active = {entry.name: entry for entry in self._queue.iter_active() if entry.name in names}
        lifeless = [name for name, entry in active.items() if not self._lives(entry.stash_rev)]
        self._lifeless = {name: self._lifeless.get(name, now) for name in lifeless}
        old = [name for name, since in self._lifeless.items() if now - since >= patience_s]
        return old if old and not any(self._at_work() for _ in range(_ASKED_TIMES)) else []

    def _lives(self, stash_revision: str) -> bool:
        process = self._queue.proc.get(stash_revision)
        try:
            return (
                process is not None
                and process.returncode is None
                and psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False

    def _at_work(self) -> bool:
        """Whether any worker says that it works; waits a second for answers."""
        return any(self._queue.worker_status().values())

    def error_of(self, name: str) -> str:
        """The telling line of an experiment's log."""
        log = self._log(name)
        if log is None or not log.is_file():
            return "failed before its first stage; see the .out files in .dvc/tmp/exps/celery"
        return telling_line(log.read_text(encoding="utf-8", errors="replace"))

    def _log(self, name: str) -> Path | None:
        entries = [entry for entry, _ in self._queue.iter_done() if entry.name == name]
        process = self._queue.proc.get(entries[-1].stash_rev) if entries else None
        return None if process is None else Path(process.stdout)

    def stop(self, names: list[str]) -> None:
        """Take experiments out of the queue and kill those that run; finished items are kept."""
        states = self.states(names)
        queued = [name for name, state in states.items() if state == "queued"]
        if queued:
            self._queue.remove(queued)
        running = [name for name, state in self.states(names).items() if state == "running"]
        if not running:
            return
        self._queue.kill(running, force=True)
        end = time.monotonic() + _SETTLE_S
        while time.monotonic() < end and "running" in self.states(running).values():
            time.sleep(0.2)


def telling_line(log: str) -> str:
    """The last error a stage told, else DVC's last error, else the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("refract ") and ": error: " in line]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (told or errors or lines or ["its log is empty"])[-1]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C until the body is through. Elsewhere than in the main thread: no change."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt
