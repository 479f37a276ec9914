"""Files and directories that appear complete or not at all."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

TEMPORARY_PREFIX = ".tmp-"


def temporary_sibling(path: Path) -> Path:
    """A fresh name beside `path`; the suffix is kept, since writers choose a format by it."""
    return path.with_name(f"{TEMPORARY_PREFIX}{uuid4().hex[:12]}-{path.name}")


def write_atomic(path: Path, writer: Callable[[Path], object]) -> None:
    """Call `writer` on a temporary name beside `path`, flush it to disk and rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(path)
    try:
        writer(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def replace_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary directory that takes the place of `path` on clean exit.

    On an exception `path` stays as it was. For one writer at a time: what a killed writer of the
    same `path` left behind is removed first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{TEMPORARY_PREFIX}*-{path.name}"):
        shutil.rmtree(leftover)
    temporary = temporary_sibling(path)
    temporary.mkdir()
    try:
        yield temporary
        swap_directory(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def swap_directory(new: Path, path: Path) -> None:
    """Rename directory `new` to `path`, removing what stood there (a directory or nothing)."""
    if not path.exists():
        os.replace(new, path)
        return
    old = temporary_sibling(path)
    os.replace(path, old)  # a non-empty directory cannot be replaced in one step
    os.replace(new, path)
    shutil.rmtree(old)
