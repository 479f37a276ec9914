"""Does a killed training give the same bytes? The real stage, killed at random moments.

python -m benchmarks.kill_resume --runs 20

Trains once without interruption, then `--runs` times with SIGKILL to the whole process group at
moments spread evenly over the training, one of them in its ending, some of them within the writing
of a checkpoint; each is started again and its files are compared by sha256. The exit code is 1
where a file differs or a newest whole checkpoint was not taken up.

A moment is aimed at by the pace of the uninterrupted training, so other work on the machine makes
some miss by a few steps; the columns after it say what was found. Only moments after the loading of
libraries and models count: before, there is nothing to lose.
"""

import argparse
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.killed_training import (
    Aim,
    Experiment,
    Kill,
    Killed,
    Plan,
    train_straight,
)
from benchmarks.machine import describe_machine
from benchmarks.table import markdown_table
from benchmarks.workspace import ROOT, Workspace, model_path, street_settings
from refract.base.yaml_files import read_yaml
from refract.pipeline.device import pick_device

logger = logging.getLogger(__name__)

_ATTEMPTS = 5  # a training that ends before its kill is repeated with another moment
_HEADER = (
    "run", "aimed at step", "s from start", "newest checkpoint", "in a write", "resumed from",
    "identical",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    os.environ.setdefault("REFRACT_THREADS", "1")  # bytes are equal for equal numbers only
    folder = Path(tempfile.mkdtemp(prefix="refract-kills-", dir=options.work))
    workspace = Workspace.create(folder, _changes(options, folder))
    workspace.prepare_street({"train": options.scenes, "val": 2})
    expected, pace = train_straight(workspace, folder / "straight")
    logger.info("uninterrupted training: %s, %s", ", ".join(expected), pace)
    plan = Plan(options.steps, options.checkpoint_every)
    caches = folder / "straight" / "state"
    experiment = Experiment(workspace, plan, pace, caches, Random(options.seed))
    results = list(_killed_trainings(options, experiment))
    print(_facts(options, workspace))
    print(markdown_table(_HEADER, rows(results, expected)))
    print("\n" + summary(results, expected, options.steps))
    if not all(sound(result, expected) for result in results):
        sys.exit(f"not all are as they should be; look at {folder}")
    shutil.rmtree(folder)


def aims(plan: Plan, runs: int, write_every: int, random: Random) -> Iterator[Aim]:
    """The first kill of each run.

    Every `write_every`-th (0: none) comes in the write of a checkpoint. Of the others the last, if
    it is not the only one, comes in the ending, the rest one in each of equal parts of the steps.
    """
    in_write = [bool(write_every) and i % write_every == write_every - 1 for i in range(runs)]
    writes, others = in_write.count(True), in_write.count(False)
    spread = max(others - 1, 1)
    write = other = 0
    for due in in_write:
        if due:
            place = (write + random.random()) / writes
            checkpoint = 1 + int(place * (plan.steps // plan.every))
            yield Aim(checkpoint * plan.every, random.random())
        elif other < spread:
            yield Aim((other + random.random()) / spread * plan.steps)
        else:
            yield Aim(plan.steps + random.random())
        write, other = write + due, other + (not due)


def rows(results: list[Killed], expected: dict[str, str]) -> list[list[object]]:
    """One row a kill; a training's last one says whether its files are the same."""
    return [
        [
            number,
            kill.aim,
            kill.elapsed,
            _told(kill.checkpoint),
            "yes" if kill.in_write else "",
            _told(kill.resumed_from),
            _verdict(result, kill, expected),
        ]
        for number, result in enumerate(results, start=1)
        for kill in result.kills
    ]


def summary(results: list[Killed], expected: dict[str, str], steps: int) -> str:
    """One line on all trainings."""
    kills = [kill for result in results for kill in result.kills]
    same = sum(result.files == expected for result in results)
    return (
        f"{len(results)} trainings of {steps} steps, {len(kills)} kills "
        f"({sum(kill.checkpoint == 0 for kill in kills)} before the first checkpoint, "
        f"{sum(kill.in_write for kill in kills)} while one was written, "
        f"{sum(kill.checkpoint in (steps, None) for kill in kills)} after the last): "
        f"{same} of {len(results)} identical in all {len(expected)} files; "
        f"{sum(kill.as_left for kill in kills)} of {len(kills)} went on from the newest checkpoint"
    )


def sound(result: Killed, expected: dict[str, str]) -> bool:
    """Whether it was killed, went on where it was, and gave the expected files."""
    resumed = all(kill.as_left for kill in result.kills)
    return bool(result.kills) and resumed and result.files == expected


def _killed_trainings(options: argparse.Namespace, experiment: Experiment) -> Iterator[Killed]:
    """The trainings of the table, in their order, each reported when it is done."""
    random = experiment.random
    planned = aims(experiment.plan, options.runs, options.write_every, random)
    for number, aim in enumerate(planned, start=1):
        for attempt in range(_ATTEMPTS):
            folder = experiment.workspace.folder / f"run_{number}_{attempt}"
            result = experiment.train(folder, aim, more_kills=options.kills_per_run - 1)
            if result.kills:
                break
            aim = Aim(int(aim.step) + random.random())
        logger.info(
            "%d of %d: killed at %s", number, options.runs, [str(k.aim) for k in result.kills]
        )
        yield result


def _told(checkpoint: int | None) -> str:
    return "result stored" if checkpoint is None else str(checkpoint)


def _verdict(result: Killed, kill: Kill, expected: dict[str, str]) -> str:
    """Of the files where `kill` is the training's last."""
    if kill is not result.kills[-1]:
        return ""
    return "yes" if result.files == expected else "**no**"


def _facts(options: argparse.Namespace, workspace: Workspace) -> str:
    dtype = read_yaml(workspace.params)["infrared_model"]["dtype"]
    return (
        f"{describe_machine(pick_device(), dtype)} ($REFRACT_THREADS of the trainings: "
        f"{os.environ['REFRACT_THREADS']}); model {Path(options.model).name}, "
        f"{options.scenes} scenes of {options.panel_px} px, batch {options.batch}, "
        f"{options.steps} steps, a checkpoint every {options.checkpoint_every}; "
        f"seed {options.seed}\n"
    )


def _changes(options: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    return {
        "infrared_model": {"path": model_path(options.model)},
        "prepare_triptychs": street_settings(folder, options.panel_px),
        "ir_adapter": {
            "steps": options.steps,
            "batch": options.batch,
            "checkpoint_every": options.checkpoint_every,
            "validate_every": 2 * options.checkpoint_every,
            "sample_every": 0,
        },
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--kills-per-run", type=int, default=1, help="2 kills what is resumed too")
    parser.add_argument(
        "--write-every", type=int, default=4, help="one run in so many dies in a write; 0: none"
    )
    parser.add_argument("--steps", type=int, default=30, help="a multiple of --checkpoint-every")
    parser.add_argument("--checkpoint-every", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=12, help="of data/street, for training")
    parser.add_argument("--panel-px", type=int, default=64, help="side of a panel")
    parser.add_argument("--model", default=str(ROOT / "backbones" / "flux-fill-micro"))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--work", type=Path, help="where to make the temporary folder")
    options = parser.parse_args(arguments)
    if options.steps % options.checkpoint_every:
        parser.error(f"--steps {options.steps}: no multiple of {options.checkpoint_every}")
    return options


if __name__ == "__main__":
    main()
