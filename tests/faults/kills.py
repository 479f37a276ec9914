"""kill -9 of stages and of DVC at random moments, spread over all stages by construction.

Each pipeline is killed some twenty times on its way and started again, as `make repro` does it;
then its outputs are compared byte for byte with those of an uninterrupted one.
"""

import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from tests.faults.kill_run import (
    VICTIMS,
    Aim,
    Command,
    Fate,
    Kill,
    Pace,
    plan,
    run_killed,
    run_straight,
)
from tests.faults.row import Row
from tests.faults.tiny_pipeline import STAGES, TinyPipeline

TITLE = "Killed at any moment"
# 6 times (3 kills in each of six stages and 2 while DVC starts): where one comes too late for its
# run, a hundred are left.
PIPELINES, EACH = 6, 3
EXPERIMENTS = 2  # of 8 kills each
_SHORT_STAGES = STAGES[:2]
_SHORT_AIMS = (
    Aim(STAGES[0], "stage", 0.6, "dvc"),
    Aim(STAGES[1], "stage", 0.2, "dvc"),  # while Python starts: not yet bound to DVC
    Aim(STAGES[1], "end", 0.0, "stage"),
)
_EXPERIMENT = ("exp", "run", "-S", "ref_strength=0.5")
_EXPERIMENT_STAGES = ("flowalign_edit", "evaluate")  # those that it runs
_WORDS = {"dvc": "DVC alone", "stage": "the stage alone", "group": "both"}

logger = logging.getLogger(__name__)


def run(seed: int, long: bool) -> list[Row]:
    """`$FAULT_SECONDS` bounds the time in which kills are begun."""
    stages = STAGES if long else _SHORT_STAGES
    deadline = time.monotonic() + float(os.environ.get("FAULT_SECONDS", "inf"))
    random = Random(seed)
    plans: list[Sequence[Aim]] = (
        [plan(stages, EACH, random) for _ in range(PIPELINES)] if long else [_SHORT_AIMS]
    )
    home = Path(tempfile.mkdtemp(prefix="refract-kills-"))
    fresh = TinyPipeline.create(home / "fresh")
    sound = fresh.copy_to(home / "sound")
    found = _try("dvc repro", fresh, sound, ("repro", stages[-1]), plans, deadline)
    if long:
        plans = [plan(_EXPERIMENT_STAGES, EACH, random) for _ in range(EXPERIMENTS)]
        sound.commit()  # as users do, and else an experiment would begin without dvc.lock
        straight = sound.copy_to(home / "straight")
        found += _try("dvc exp run", sound, straight, _EXPERIMENT, plans, deadline)
    if not any(row.losses for row in found):
        shutil.rmtree(home)
    else:
        logger.warning("left for a look: %s", home)
    return found


def _try(
    what: str,
    fresh: TinyPipeline,
    straight: TinyPipeline,
    command: Command,
    plans: Sequence[Sequence[Aim]],
    deadline: float,
) -> list[Row]:
    """Kill DVC's `command` in copies of `fresh`, against one run of it in `straight`."""
    pace = run_straight(straight, command)
    expected = straight.outputs()
    logger.info("uninterrupted: %d files, %s", len(expected), pace)

    def killed(number: int) -> Fate | None:
        if time.monotonic() > deadline:
            return None
        folder = straight.folder.with_name(f"{command[0]}_{number}")
        return _killed(fresh, folder, command, plans[number], pace, deadline)

    with ThreadPoolExecutor(_side_by_side()) as pool:
        fates = [fate for fate in pool.map(killed, range(len(plans))) if fate is not None]
    return rows(what, fates, expected)


def rows(what: str, fates: Sequence[Fate], expected: dict[str, str]) -> list[Row]:
    """Of the command `what` a row a place that was hit, one a victim, and one on what came out."""
    kills = [kill for fate in fates for kill in fate.kills]
    places = Counter(kill.place for kill in kills)
    table = [
        Row(
            f"kill -9 of `{what}` while {_during(place)}",
            places[place],
            "no orphan, no lock",
            _orphans(kills, place),
        )
        for place in (*STAGES, "DVC")
        if places[place]
    ]
    victims = Counter(kill.victim for kill in kills)
    whom = ", ".join(f"{victims[v]} {_WORDS[v]}" for v in VICTIMS)
    repairs = sum(len(fate.repairs) for fate in fates)
    table.append(
        Row(
            f"pipelines whose `{what}` was killed on its way, then finished",
            len(fates),
            f"outputs and `dvc.lock` byte-identical ({len(expected)} files); kills of {whom}; "
            f"no orphan, lock or left-over; {repairs} half files of DVC's own mended at a start",
            sum(fate.losses(expected) for fate in fates),
        )
    )
    return table


def _killed(
    fresh: TinyPipeline,
    folder: Path,
    command: Command,
    aims: Sequence[Aim],
    pace: Pace,
    deadline: float,
) -> Fate:
    pipeline = fresh.copy_to(folder)
    fate = run_killed(pipeline, command, aims, pace, deadline)
    places = dict(Counter(kill.place for kill in fate.kills))
    logger.info("%s: killed in %s, %d missed, %s", folder.name, places, fate.missed, fate.repairs)
    for line in (*fate.failures, *fate.left_overs):
        logger.warning("%s: %s", folder.name, line)
    return fate


def _during(place: str) -> str:
    return "DVC itself was at work" if place == "DVC" else f"`{place}` ran"


def _orphans(kills: Sequence[Kill], place: str) -> int:
    return sum(kill.orphans for kill in kills if kill.place == place)


def _side_by_side() -> int:
    """Two pipelines at once where there are two cores."""
    return min(2, len(os.sched_getaffinity(0)))
