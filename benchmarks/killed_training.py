"""A training that is killed on the way, once or more, and started again to its end."""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from random import Random
from statistics import median

from benchmarks.stage_run import StageRun
from benchmarks.workspace import Workspace, require_success
from refract.pipeline.item_store import hash_file

_CACHES = ("ir_latents", "ir_text")  # stores that hold nothing of the training itself


@dataclass(frozen=True)
class Plan:
    """Length of the training and of the way between two checkpoints, in steps."""

    steps: int
    every: int


@dataclass(frozen=True)
class Pace:
    """How fast the uninterrupted training went, in seconds."""

    step: float  # one step, with its share of checkpoints and validations
    write: float  # writing a checkpoint
    ending: float  # from the last checkpoint to the end of the process


@dataclass(frozen=True)
class Aim:
    """When to kill: at `step` (its fraction within a step; `steps` to `steps + 1` is the ending),
    or, with `write_share`, when so much of the time to write the checkpoint of `step` has passed.
    """

    step: float
    write_share: float | None = None

    def __str__(self) -> str:
        return f"{self.step:.1f}" if self.write_share is None else f"write of {self.step:.0f}"


@dataclass(frozen=True)
class Kill:
    """What a killed process left, and what the next one made of it."""

    aim: Aim
    elapsed: float  # seconds since its start
    checkpoint: int | None  # steps of the newest whole one; None where the result was stored
    in_write: bool  # it was writing a checkpoint
    resumed_from: int | None = None  # by the next process; None where it found the result

    @property
    def as_left(self) -> bool:
        """Whether the newest whole checkpoint was taken up; a fresh start gives the same bytes."""
        return self.resumed_from == self.checkpoint


@dataclass(frozen=True)
class Killed:
    """A training that was killed and then finished."""

    kills: Sequence[Kill]
    files: dict[str, str]  # sha256 by name


def train_straight(workspace: Workspace, folder: Path) -> tuple[dict[str, str], Pace]:
    """The uninterrupted training: sha256 of its files, and its pace."""
    folder.mkdir()
    run = StageRun(workspace, folder)
    begins: dict[int, float] = {}
    ends: dict[int, float] = {}
    while run.sleep(0.001):
        now = time.monotonic()
        for step in run.writing():
            begins.setdefault(step, now)
        if newest := run.checkpoint():
            ends.setdefault(newest, now)
    ended = time.monotonic()
    require_success(run.process, run.log)
    first, last = min(ends), max(ends)
    pace = Pace(
        step=(ends[last] - ends[first]) / max(last - first, 1),
        write=median([ends[s] - begins[s] for s in begins.keys() & ends.keys()] or [0.0]),
        ending=ended - ends[last],
    )
    return hash_files(run.output), pace


@dataclass(frozen=True)
class Experiment:
    """What the killed trainings share.

    caches: state folder of a finished training, for the latents and prompts.
    random: of the moments of second and later kills.
    """

    workspace: Workspace
    plan: Plan
    pace: Pace
    caches: Path
    random: Random

    def train(self, folder: Path, aim: Aim, *, more_kills: int = 0) -> Killed:
        """Train in the new `folder`, killed at `aim` and `more_kills` times on what is left.

        There are fewer kills than wanted (none, even) where a process ended before its moment,
        having been faster than `pace`.
        """
        _link_caches(self.caches, folder / "state")
        kills: list[Kill] = []
        for number in count():
            run = StageRun(self.workspace, folder, number)
            wanted = len(kills) <= more_kills
            kill = self._strike(run, aim, kills[-1].checkpoint if kills else 0) if wanted else None
            if kill is None:
                require_success(run.process, run.log)
            if kills:
                kills[-1] = replace(kills[-1], resumed_from=run.resumed_from())
            if kill is None:
                break
            kills.append(kill)
            aim = Aim(self.random.uniform(kill.checkpoint or 0, self.plan.steps + 1))
        return Killed(kills, hash_files(folder / "output"))

    def _strike(self, run: StageRun, aim: Aim, done: int | None) -> Kill | None:
        """Kill the run at `aim`; None where it ended before.

        done: steps it goes on from; None where it will find the result.
        """
        if done is None or not self._reach(run, aim, done):
            return None
        elapsed = time.monotonic() - run.started
        if not run.kill():
            return None
        return Kill(
            aim=aim,
            elapsed=elapsed,
            checkpoint=None if run.finished() else run.checkpoint(),
            in_write=bool(run.writing()),
        )

    def _reach(self, run: StageRun, aim: Aim, done: int) -> bool:
        """Wait until the moment: for a sign of progress, then for so long as the rest takes.

        False where the process ended before.
        """
        if aim.write_share is not None:
            seen = run.wait_for(lambda: aim.step in run.writing())
            return seen and run.sleep(aim.write_share * self.pace.write)
        last_write = int(min(aim.step, self.plan.steps)) // self.plan.every * self.plan.every
        anchor = max(last_write, done)
        seen = run.wait_for(run.begun if anchor == done else lambda: run.checkpoint() >= anchor)
        unit = self.pace.ending if aim.step >= self.plan.steps else self.pace.step
        return seen and run.sleep((aim.step - anchor) * unit)


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file by its name in the folder."""
    return {path.name: hash_file(path) for path in sorted(folder.iterdir())}


def _link_caches(source: Path, target: Path) -> None:
    """Hard links will do, since a store never changes a file."""
    for name in _CACHES:
        shutil.copytree(source / name, target / name, copy_function=os.link)
