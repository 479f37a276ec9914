"""Malformed input to all six stages: refused in one line, or handled as documented."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.faults.malformed_case import Case, Handled
from tests.faults.malformed_verdict import judge
from tests.faults.row import Row
from tests.stage_process import Done
from tests.tiny.world import LIMIT_S, OUTPUTS, ROOT, World, sound_world

TITLE = "Malformed input"
SETTINGS = 130  # wrong values of settings; the other generators say themselves how many they make
SHORT = 42  # cases of the short version
COMMANDS = "the same through `python -m stages.<stage>`"
_COMMANDS = 20  # cases tried once more as a command


def run(seed: int, long: bool) -> list[Row]:
    """The rows, a kind of input each; losses are told on stderr."""
    cases = all_cases(seed)
    cases = cases if long else short_cases(cases)
    with tempfile.TemporaryDirectory(prefix="malformed") as folder:
        trial = Trial(Path(folder))
        rows = try_all(cases, trial)
        commands = _spread(cases, _COMMANDS if long else 1)
        return rows + try_all(commands, trial, as_command=True)


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
        self.folder, self.number = folder, 0
        self.sound = sound_world(folder / "sound")

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
            run = _run_command if as_command else World.run
            return judge(case, world, run, only_last_line=as_command)
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


def _run_command(world: World, stage: str) -> Done:
    """The command itself, in the folder of `world`."""
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", *world.arguments(stage)],
        cwd=world.folder, env=os.environ | world.env | {"PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        capture_output=True, text=True, errors="replace", check=False, timeout=4 * LIMIT_S,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr, left_running=False)
