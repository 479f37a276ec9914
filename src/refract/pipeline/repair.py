"""Put right what a killed DVC has left, so that the next run can start.

python -m refract.pipeline.repair

DVC writes `dvc.lock` (for half a second after each stage) and `.dvc/tmp/rwlock` in place. Killed in
that time it leaves a half file and then refuses every command. Neither holds anything that is lost:
outputs and run cache are elsewhere, so DVC finds finished stages again by its run cache.
"""

import json
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, Field
from yaml import YAMLError

from refract.base.atomic import write_atomic
from refract.base.errors import InputError
from refract.base.yaml_files import parse_yaml
from refract.pipeline.stage_runner import run_stage

_LOCK_NAME = "dvc.lock"
_PATIENCE_S = 3.0  # for a living DVC to finish the file that it is writing


def repair(root: Path, *, patience: float = _PATIENCE_S) -> list[str]:
    """Mend the half files of the repository at `root`; one line for each.

    Raises InputError where one stays half, though the DVC that wrote it is alive.
    """
    repairs = []
    rwlock = root / ".dvc" / "tmp" / "rwlock"
    if _stays(partial(is_half_rwlock, rwlock), patience):
        rwlock.unlink()
        repairs.append(f"{rwlock}: DVC was killed while it wrote this; removed")
    lock = root / _LOCK_NAME
    if _stays(partial(is_half_lock, lock), patience):
        if writers := _alive(rwlock):
            raise InputError(f"{lock}: is half-written, and DVC runs (process {writers[0]})")
        repairs.append(f"{lock}: DVC was killed while it wrote this; {_restore(lock)}")
    return repairs


def is_half_rwlock(path: Path) -> bool:
    """Whether DVC would refuse the file with who reads and writes what."""
    return path.is_file() and _read_json(path) is None


def is_half_lock(path: Path) -> bool:
    """Whether DVC would refuse the record of the finished stages."""
    return path.is_file() and not _is_whole(path.read_bytes())


class _Data(BaseModel, strict=True):
    """A file or folder as `dvc.lock` names it; a value cut off is null or of another type."""

    path: str
    hash: str = ""
    md5: str = Field("", min_length=3)
    size: int = 0
    nfiles: int = 0


class _Stage(BaseModel, strict=True):
    cmd: str | list[str]
    deps: list[_Data] = []
    params: dict[str, dict[str, Any]] = {}
    outs: list[_Data] = []


class _Lock(BaseModel, strict=True):
    version: Literal["2.0"] = Field(alias="schema")
    stages: dict[str, _Stage] = {}


def _is_whole(lock: bytes) -> bool:
    """Whether DVC would take this for the content of `dvc.lock`."""
    try:
        _Lock.model_validate(parse_yaml(lock.decode()))
    except (YAMLError, ValueError):
        return False
    return True


def _stays(half: Callable[[], bool], patience: float) -> bool:
    """Whether the file is half, and not only because somebody writes it now."""
    deadline = time.monotonic() + patience
    while half():
        if time.monotonic() >= deadline:
            return True
        time.sleep(0.1)
    return False


def _alive(rwlock: Path) -> list[int]:
    """Processes that the file says are at work and that are."""
    entries: dict[str, dict[str, Any]] = (_read_json(rwlock) if rwlock.is_file() else None) or {}
    writers = list(entries.get("write", {}).values())
    readers = [reader for holders in entries.get("read", {}).values() for reader in holders]
    numbers = {int(entry["pid"]) for entry in writers + readers}
    return sorted(number for number in numbers if psutil.pid_exists(number))


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _restore(lock: Path) -> str:
    """Put the file as git has it in its place, or nothing where git has none that is whole.

    `dvc exp run` adds the file to git's index; to remove one that is there only would make DVC
    refuse the next experiment.
    """
    for place, words in (("", "added"), ("HEAD", "committed")):
        committed = subprocess.run(
            ["git", "show", f"{place}:./{lock.name}"],
            cwd=lock.parent,
            capture_output=True,
            check=False,
        )
        if committed.returncode == 0 and _is_whole(committed.stdout):
            write_atomic(lock, partial(_write, committed.stdout))
            return f"the one last {words} to git stands in its place"
    lock.unlink()
    return "removed (git has none)"


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def main() -> None:
    for line in repair(Path.cwd()):
        print(line)


if __name__ == "__main__":
    run_stage("dvc_repair", main)
