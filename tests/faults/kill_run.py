"""One pipeline, killed again and again on its way and started again until it is done."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple

import psutil

from refract.pipeline.repair import repair
from tests.faults.tiny_pipeline import STAGES, TinyPipeline

Victim = Literal["dvc", "stage", "group"]
Part = Literal[
    "start", "stage", "end", "commit"
]  # of DVC, of a stage, its last tenth, of DVC again
Command = tuple[str, ...]  # what stands behind `dvc`
VICTIMS: tuple[Victim, ...] = ("dvc", "stage", "group")
_POLL_S = 0.02
_REPORT_S = 60.0  # for DVC to say that its stage was killed
_MOST_STARTS = 3  # to finish after the last kill


class Aim(NamedTuple):
    """When to kill and whom: so far (0 to 1) into a part of a stage, or of DVC's work around it."""

    stage: str
    part: Part
    share: float
    victim: Victim


class Pace(NamedTuple):
    """Seconds of an uninterrupted run: up to the first stage; each stage, and DVC after it."""

    start: float
    stages: dict[str, float]
    commits: dict[str, float]


class Kill(NamedTuple):
    """place: the stage that ran, or `DVC`. orphans: processes that lived on."""

    place: str
    victim: Victim
    orphans: int


@dataclass
class Fate:
    """What a pipeline has come to. repairs: half files of DVC's that were mended."""

    kills: list[Kill] = field(default_factory=list)
    missed: int = 0
    repairs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    left_overs: list[str] = field(default_factory=list)

    def losses(self, expected: dict[str, str]) -> int:
        """Starts that failed, left-overs, and outputs that are not as expected."""
        differing = sum(
            self.outputs.get(name) != expected.get(name) for name in self.outputs | expected
        )
        return len(self.failures) + len(self.left_overs) + differing


def run_straight(pipeline: TinyPipeline, command: Command) -> Pace:
    """Run DVC's `command` without a kill."""
    started = time.monotonic()
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}
    run = pipeline.start(*command)
    while run.poll() is None:
        found = pipeline.running_stage()
        now = time.monotonic() - started
        if found is not None:
            begins.setdefault(found[0], now)
            ends[found[0]] = now
        time.sleep(_POLL_S)
    if run.returncode:
        raise RuntimeError(f"the uninterrupted run failed: {pipeline.log.read_text()[-3000:]}")
    nexts = [*list(begins.values())[1:], time.monotonic() - started]
    return Pace(
        next(iter(begins.values())),
        {stage: ends[stage] - begin for stage, begin in begins.items()},
        {stage: after - ends[stage] for stage, after in zip(begins, nexts, strict=True)},
    )


def run_killed(
    pipeline: TinyPipeline, command: Command, aims: Sequence[Aim], pace: Pace, deadline: float
) -> Fate:
    """Kill a run of DVC's `command` at each of `aims`, then let one finish.

    aims: in the order of the stages. deadline: of `time.monotonic`; no kill is begun after it.
    """
    fate = Fate()
    for aim in aims:
        if time.monotonic() > deadline:
            break
        run = _start(pipeline, command, fate)
        if not _strike(pipeline, run, aim, pace, fate):
            fate.missed += 1
            if run.wait():
                fate.failures.append(f"{aim}: {pipeline.log.read_text()[-500:]}")
    for _ in range(_MOST_STARTS):
        if not _start(pipeline, command, fate).wait():
            break
        fate.failures.append(pipeline.log.read_text()[-500:])
    fate.failures += pipeline.orphans()
    fate.outputs, fate.left_overs = pipeline.outputs(), pipeline.left_overs()
    return fate


def plan(stages: Sequence[str], each: int, random: Random) -> list[Aim]:
    """`each` kills a stage: one in three within its last tenth, one in three in DVC's work after
    it, the rest at any moment of it; and two while DVC starts."""
    parts: tuple[Part, ...] = ("stage", "end", "commit")
    aims = [Aim(stages[0], "start", random.random(), "group") for _ in range(2)]
    for stage in stages:
        for number in range(each):
            part = parts[number % 3]
            allowed = VICTIMS if part != "commit" else ("dvc", "group")
            aims.append(Aim(stage, part, random.random(), random.choice(allowed)))
    return aims


def _start(pipeline: TinyPipeline, command: Command, fate: Fate) -> "subprocess.Popen[bytes]":
    """As `make repro` does."""
    fate.repairs += repair(pipeline.folder, patience=0)
    return pipeline.start(*command)


def _strike(
    pipeline: TinyPipeline, run: "subprocess.Popen[bytes]", aim: Aim, pace: Pace, fate: Fate
) -> bool:
    """Kill at the moment; False where the run ended before."""
    if aim.part == "start":
        reached = _sleep(run, aim.share * pace.start)
    else:
        reached = _reach(pipeline, run, aim, pace)
    if not reached:
        return False
    found = pipeline.running_stage()
    victim = aim.victim if found is not None or aim.victim != "stage" else "dvc"
    if victim == "stage" and found is not None:
        if not _kill(found[1]):
            return False
        try:
            run.wait(_REPORT_S)
        except subprocess.TimeoutExpired:
            fate.failures.append(f"{aim}: DVC did not end with its stage")
            run.kill()
    elif victim == "group":
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.kill()
    run.wait()
    orphans = pipeline.orphans()
    fate.kills.append(Kill("DVC" if found is None else found[0], victim, len(orphans)))
    return True


def _reach(pipeline: TinyPipeline, run: "subprocess.Popen[bytes]", aim: Aim, pace: Pace) -> bool:
    """Wait for the stage or, where it is done already, a later one; then for the moment in it."""
    allowed = STAGES[STAGES.index(aim.stage) :]
    while (found := pipeline.running_stage()) is None or found[0] not in allowed:
        if not _sleep(run, _POLL_S):
            return False
    stage, process = found
    if aim.part == "commit":
        while lives(process):
            if not _sleep(run, _POLL_S):
                return False
        return _sleep(run, aim.share * pace.commits[stage])
    share = 0.9 + 0.1 * aim.share if aim.part == "end" else aim.share
    return _sleep(run, share * pace.stages[stage])


def _sleep(run: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """False where the run ended within that time."""
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended, waited for or not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _kill(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True
