"""DVC's experiment queue as a sweep needs it, by DVC's own commands.

Queued rather than `dvc exp run --temp` in parallel: `--temp` runs take whichever stashed experiment
comes first, so two at once can swap theirs. DVC's workers are daemons; they end by themselves some
seconds after the last experiment.
"""

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from refract.base.errors import InputError
from refract.experiments.ablation.points import hydra_override

logger = logging.getLogger(__name__)

QUEUED, RUNNING, FAILED, SUCCESS = "Queued", "Running", "Failed", "Success"  # words of DVC's
_SETTLE_S = 30.0  # how long an experiment may refuse to be killed


@dataclass(frozen=True)
class QueueStatus:
    """What `dvc queue status` says.

    tasks: experiment -> one of the four words. active, idle: workers that said so within a second.
    """

    tasks: Mapping[str, str]
    active: int
    idle: int

    def named(self, word: str, names: Iterable[str]) -> list[str]:
        return [name for name in names if self.tasks.get(name) == word]


class ExperimentQueue:
    """Experiments of one repository, by name."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def status(self) -> QueueStatus:
        """A look at the queue, which takes a second of the processor's time."""
        return parse_status(self._dvc("queue", "status"))

    def finished(self, commit: str) -> set[str]:
        """Experiments of a commit that have results."""
        return set(self._dvc("exp", "list", "--rev", commit, "--name-only").split())

    def put(self, name: str, overrides: Mapping[str, Any]) -> None:
        """Queue an experiment of the present working tree with settings changed.

        DVC stashes the working tree and puts it back; Ctrl-C waits for that.

        Raises InputError: DVC refuses it, or another DVC command holds the repository.
        """
        settings = [hydra_override(key, value) for key, value in overrides.items()]
        given = [part for setting in settings for part in ("--set-param", setting)]
        self._dvc("exp", "run", "--queue", "--name", name, *given)

    def forget(self, name: str) -> None:
        """Remove what an ended run of that name left in the queue's record."""
        self._dvc("queue", "remove", name)

    def start_workers(self, jobs: int) -> None:
        """See that `jobs` workers run."""
        self._dvc("queue", "start", "--jobs", str(jobs))

    def stop(self, names: Iterable[str]) -> None:
        """Take experiments out of the queue and kill those that run; finished items are kept."""
        names = list(names)
        if queued := self.status().named(QUEUED, names):
            self._dvc("queue", "remove", *queued)
        end = time.monotonic() + _SETTLE_S
        while running := self.status().named(RUNNING, names):
            try:
                self._dvc("queue", "kill", "--force", *running)
            except InputError as error:  # a worker that prepares one has no process to kill yet
                if time.monotonic() > end:
                    logger.warning("%s; `dvc queue kill` them yourself", error)
                    return

    def error_of(self, name: str) -> str:
        """The telling line of an ended experiment's log."""
        try:
            return telling_line(self._dvc("queue", "logs", name))
        except InputError as error:  # no log where it failed before its first stage
            return str(error)

    def _dvc(self, *arguments: str) -> str:
        """What a command prints; it runs to its end whatever becomes of this process.

        A session of its own keeps Ctrl-C and the closing of the terminal from it; stages and
        workers find `dvc` and `python` beside this interpreter. Files take what it prints, since
        workers would hold pipes open for as long as they live.

        Raises InputError: the command fails; the line is DVC's own.
        """
        beside = str(Path(sys.executable).parent)
        path = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
        with TemporaryFile() as output, TemporaryFile() as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "dvc", *arguments],
                cwd=self._root, env=os.environ | {"PATH": path}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
            )  # fmt: skip
            try:
                process.wait()
            except KeyboardInterrupt:
                process.wait()
                raise
            output.seek(0)
            errors.seek(0)
            printed, complaint = (file.read().decode(errors="replace") for file in (output, errors))
        if process.returncode:
            command = " ".join(["dvc", *arguments[:2]])
            raise InputError(f"{command}: {telling_line(complaint).removeprefix('ERROR: ')}")
        return printed


def parse_status(text: str) -> QueueStatus:
    """Of `dvc queue status`: a row a task (id, name, time, word), then the count of workers."""
    words = "|".join((QUEUED, RUNNING, FAILED, SUCCESS))
    tasks = re.findall(rf"^\w+ +(\S+) .*\b({words}) *$", text, re.MULTILINE)
    workers = re.search(r"^Worker status: (\d+) active, (\d+) idle", text, re.MULTILINE)
    if workers is None:
        raise InputError(f"dvc queue status: says nothing of workers: {text.strip()[-200:]!r}")
    return QueueStatus(dict(tasks), int(workers[1]), int(workers[2]))


def telling_line(log: str) -> str:
    """The last error a stage told, else DVC's last error, else the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    of_stages = [line for line in lines if line.startswith("refract ") and ": error: " in line]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (of_stages or errors or lines or ["its log is empty"])[-1]
