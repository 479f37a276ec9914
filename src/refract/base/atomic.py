"""Files and directories that appear complete or not at all.

Symbolic links are not followed: one that stands where an output goes, or lies in an output that is
replaced, is removed itself, and what it points to stays as it was.
"""

import glob
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from refract.base.disk_errors import storing
from refract.base.errors import InputError

TEMPORARY_PREFIX = ".tmp-"
_DIGITS = 12  # of what makes a temporary name fresh
_ANY = "?" * _DIGITS


def temporary_sibling(path: Path) -> Path:
    """A fresh name beside `path`; the suffix is kept, since writers choose a format by it."""
    return path.with_name(f"{TEMPORARY_PREFIX}{uuid4().hex[:_DIGITS]}-{path.name}")


def write_atomic(path: Path, writer: Callable[[Path], object]) -> None:
    """Call `writer` on a temporary name beside `path`, flush it to disk and rename it to `path`.

    For one writer at a time, as `replace_directory`. Raises what `storing` does.
    """
    temporary = temporary_sibling(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        try:
            writer(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as `write_atomic`."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@contextmanager
def replace_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary directory that takes the place of `path` on clean exit.

    On an exception `path` stays as it was. For one writer at a time: what a killed writer of the
    same `path` left behind is removed first. Raises InputError where `path` is a file, and what
    `storing` does.
    """
    path = Path(path)
    if path.is_file() and not path.is_symlink():
        raise InputError(f"{path}: is a file; the output must be a folder")
    temporary = temporary_sibling(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary.mkdir()
        try:
            yield temporary
            swap_directory(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def swap_directory(new: Path, path: Path) -> None:
    """Rename directory `new` to `path`; what stood there (a directory, link or nothing) goes."""
    if not os.path.lexists(path):
        os.replace(new, path)
        return
    old = temporary_sibling(path)
    os.replace(path, old)  # a non-empty directory cannot be replaced in one step
    os.replace(new, path)
    _remove(old)


def _remove_leftovers(path: Path) -> None:
    """What killed writers of `path` have left beside it."""
    for leftover in path.parent.glob(f"{TEMPORARY_PREFIX}{_ANY}-{glob.escape(path.name)}"):
        _remove(leftover)


def _remove(path: Path) -> None:
    """A directory with all that is in it, or a file or link alone."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)
