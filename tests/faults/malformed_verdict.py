"""What came of a malformed input, held against what should have."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from refract.base.atomic import TEMPORARY_PREFIX
from tests.faults.malformed_case import Case, Handled, Refused
from tests.stage_process import Done
from tests.tiny.world import LIMIT_S, OUTPUTS, World

# Log lines and the bars of tqdm, which write over themselves.
_LOG_LINE = re.compile(r"\d\d:\d\d:\d\d (DEBUG|INFO|WARNING) .*|.*\r.*|.*\d+%\|.*")

Files = dict[str, tuple[int, int, int]]
Runner = Callable[[World, str], Done]


def judge(case: Case, world: World, run: Runner, *, only_last_line: bool = False) -> list[str]:
    """What is wrong with the outcome of a case; empty where all is as it should be.

    only_last_line: a command's imports may say something of the installation before.
    """
    case.make(world)
    outside, before = _files(world.folder.parent, depth=1), _files(world.folder)
    done = run(world, case.stage)
    wrong = _common_faults(done, world)
    if outside != _files(world.folder.parent, depth=1):
        wrong.append("something was written outside of its folder")
    if isinstance(case.expected, Refused):
        wrong += _refusal_faults(case.expected, case.stage, done, only_last_line)
        if changed := _differing(before, _files(world.folder)):
            wrong.append(f"{changed} was written or changed, though the input was refused")
    else:
        wrong += _handling_faults(case.expected, done, world)
        own = tuple(f"out/{name}/" for name in OUTPUTS[case.stage])
        if changed := _differing(before, _files(world.folder), own):
            wrong.append(f"{changed}, which is no output of the stage, was written or changed")
    return [*wrong, *(_told(done) if wrong else [])]


def _common_faults(done: Done, world: World) -> list[str]:
    wrong = []
    if done.returncode is None:
        wrong.append(f"still running after {LIMIT_S:.0f} s")
    if "Traceback" in done.stderr:
        wrong.append("a traceback")
    if done.left_running:
        wrong.append("a process of the stage goes on after it")
    leftovers = sorted(path for path in world.folder.rglob(f"{TEMPORARY_PREFIX}*"))
    if leftovers:
        wrong.append(f"{leftovers[0].relative_to(world.folder)} is left behind")
    return wrong


def _refusal_faults(expected: Refused, stage: str, done: Done, only_last_line: bool) -> list[str]:
    wrong = [] if done.returncode == 2 else [f"exit code {done.returncode}, not 2"]
    lines = [line for line in done.stderr.split("\n") if line and not _LOG_LINE.fullmatch(line)]
    lines = lines[-1:] if only_last_line else lines
    beginning = f"refract {stage}: error: "
    if len(lines) != 1 or not lines[0].startswith(beginning):
        return [*wrong, f"not one line that starts with {beginning!r}"]
    line = lines[0].removeprefix(beginning)
    wrong += [f"the line does not name {name}" for name in expected.names if name not in line]
    if expected.allowed not in line:
        wrong.append(f"the line does not say {expected.allowed!r}")
    if done.stdout:
        wrong.append(f"stdout: {done.stdout[:200]!r}")
    return wrong


def _handling_faults(expected: Handled, done: Done, world: World) -> list[str]:
    if done.returncode != 0:
        return [f"exit code {done.returncode}, not 0"]
    wrong = [] if expected.said in done.stderr else [f"no log line tells of {expected.said!r}"]
    try:
        expected.check(world)
    except (AssertionError, OSError, KeyError, ValueError) as error:
        wrong.append(f"not the documented result: {error!r}")
    return wrong


def _told(done: Done) -> list[str]:
    return [f"    {line[:400]}" for line in done.stderr.strip().splitlines()[-6:]]


def _files(folder: Path, depth: int | None = None) -> Files:
    """Every file but those of the item store: inode, length and time of its last change."""
    found: Files = {}
    for place, folders, files in os.walk(folder):
        here = os.path.relpath(place, folder)
        if depth is not None and here != ".":
            folders.clear()
            continue
        if here == "." and depth is None and "state" in folders:
            folders.remove("state")
        for name in files:
            facts = os.lstat(os.path.join(place, name))
            key = os.path.normpath(os.path.join(here, name))
            found[key] = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
    return found


def _differing(before: Files, after: Files, allowed: tuple[str, ...] = ()) -> str | None:
    """The first file that is new, gone or changed; `allowed`: beginnings of names that may be."""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name) and not name.startswith(allowed or ("\0",)):
            return name
    return None
