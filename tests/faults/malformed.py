"""Malformed input to all six stages: refused in one line, or handled as documented.

`python -m tests.faults.malformed [--seed 0] [--short] [--kind TEXT]` prints the rows as JSON, and
each loss with what the stage said.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.faults.malformed_case import Case, Handled
from tests.faults.malformed_run import STAGE_MODULES, command_stage, fork_stage
from tests.faults.malformed_verdict import judge
from tests.faults.malformed_world import OUTPUTS, ROOT, STAGES, World, write_world
from tests.faults.row import Row

TITLE = "Malformed input"
SETTINGS = 130  # wrong values of settings; the other generators say themselves how many they make
SHORT = 42  # cases of the short version
COMMANDS = "the same through `python -m stages.<stage>`"
_COMMANDS = 20  # cases tried once more as a command
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip


def run(seed: int, long: bool) -> list[Row]:
    """The rows, a kind of input each; losses are told on stderr.

    In an interpreter of its own: cases are forks, and a parent that has worked with torch before
    holds threads that no fork takes along.
    """
    command = [sys.executable, "-m", "tests.faults.malformed", "--seed", str(seed)]
    done = subprocess.run(
        [*command, *([] if long else ["--short"])], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    return [Row(**row) for row in json.loads(done.stdout)]


def all_cases(seed: int) -> list[Case]:
    """Every case of the long version, in a fixed order."""
    from tests.faults import (
        malformed_images,
        malformed_parquet,
        malformed_picture_kinds,
        malformed_records,
        malformed_settings,
        malformed_special,
        malformed_tables,
        malformed_videos,
        malformed_weights,
        malformed_yaml,
    )

    random_ = random.Random(seed)
    cases = malformed_settings.settings_cases(random_, SETTINGS)
    for make in (
        malformed_yaml.text_cases, malformed_yaml.case_cases,
        malformed_images.broken_cases, malformed_picture_kinds.odd_cases,
        malformed_videos.broken_cases, malformed_videos.odd_cases,
        malformed_tables.table_cases, malformed_parquet.parquet_cases,
        malformed_parquet.ambiguous_cases,
        malformed_weights.file_cases, malformed_weights.content_cases,
        malformed_records.record_cases, malformed_special.special_cases,
    ):  # fmt: skip
        cases += make(random_)
    return cases


def short_cases(cases: list[Case]) -> list[Case]:
    """A fixed sample with a part of each kind: the cheapest to try, for most fail at once."""
    by_kind: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_kind[case.kind].append(case)
    share = SHORT // len(by_kind)
    return [case for own in by_kind.values() for case in _spread(own, share)]


def _spread(cases: list[Case], count: int) -> list[Case]:
    """`count` of them at even distances."""
    return [cases[place * len(cases) // count] for place in range(min(count, len(cases)))]


class Trial:
    """The sound run, and cases tried on copies of it."""

    def __init__(self, folder: Path) -> None:
        """Raises RuntimeError where a stage fails on sound input."""
        for module in ("refract.models.torchvision_compat", *STAGE_MODULES):
            importlib.import_module(module)
        self.folder, self.number = folder, 0
        self.sound = World(folder / "sound")
        child = os.fork()
        if child == 0:
            write_world(self.sound.folder)
            os._exit(0)
        os.waitpid(child, 0)
        for stage in STAGES:
            done = fork_stage(self.sound, stage)
            if done.code != 0:
                raise RuntimeError(f"{stage} fails on sound input:\n{done.stderr}")

    def wrong(self, case: Case, *, as_command: bool = False) -> list[str]:
        """What is wrong with the outcome of a case.

        Every other case finds no earlier output, the rest that of the sound run.
        """
        self.number += 1
        home = self.folder / f"case{self.number}"
        home.mkdir()
        world = self.sound.copy_to(home / "work", empty_store=case.empty_store)
        if zlib.crc32(case.fault.encode()) % 2:
            for name in OUTPUTS[case.stage]:
                shutil.rmtree(world.out(name))
        try:
            return judge(case, world, command_stage if as_command else fork_stage,
                         only_last_line=as_command)  # fmt: skip
        finally:
            shutil.rmtree(home)


def try_all(cases: Iterable[Case], trial: Trial, *, as_command: bool = False) -> list[Row]:
    """A row a kind."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        wrong = trial.wrong(case, as_command=as_command)
        outcome = "handled" if isinstance(case.expected, Handled) else "refused"
        kind = COMMANDS if as_command else case.kind
        counts[kind]["lost" if wrong else outcome] += 1
        if wrong:
            print(f"LOSS {case.kind}: {case.fault} ({case.stage})", *wrong, sep="\n  ",
                  file=sys.stderr, flush=True)  # fmt: skip
    return [
        Row(
            kind,
            count.total(),
            f"{count['refused']} refused in one line, {count['handled']} handled as documented",
            count["lost"],
        )
        for kind, count in counts.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true")
    parser.add_argument(
        "--kind", default="", help="only kinds and faults with one of these texts, as a|b"
    )
    arguments = parser.parse_args()
    os.environ.update(_ENVIRONMENT)
    cases = all_cases(arguments.seed)
    cases = short_cases(cases) if arguments.short else cases
    wanted = [
        case
        for case in cases
        if any(text in f"{case.kind}: {case.fault}" for text in arguments.kind.split("|"))
    ]
    with tempfile.TemporaryDirectory(prefix="malformed") as folder:
        trial = Trial(Path(folder))
        rows = try_all(wanted, trial)
        commands = _spread(wanted, 1 if arguments.short else _COMMANDS)
        rows += try_all(commands, trial, as_command=True)
    json.dump([asdict(row) for row in rows], sys.stdout)


if __name__ == "__main__":
    main()
