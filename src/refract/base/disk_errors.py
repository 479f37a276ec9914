"""Disks that are full or may not be written, said in one line whatever library met them."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refract.base.errors import InputError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_RUST_NUMBER = re.compile(r"\(os error (\d+)\)")  # in the messages of safetensors
_NUMPY_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")


class DiskFullError(Exception):
    """No space is left, or none within the quota: one line; exit code 1, since no input is bad."""


@contextmanager
def storing(place: Path | None = None) -> Iterator[None]:
    """Name `place` where the work inside fails for want of space, or of the right to write.

    place: the file or folder that is written; None where only the error itself may know.
    Raises DiskFullError or InputError for these two, and everything else as it came.
    """
    try:
        yield
    except (InputError, DiskFullError):
        raise
    except Exception as error:
        number = _error_number(error)
        where = _where(error, place)
        if number in _NO_SPACE:
            raise DiskFullError(
                f"{where}: {os.strerror(number)}: free some; finished items are kept"
            ) from error
        if number in _READ_ONLY and _is_inside(error, place):
            raise InputError(f"{where}: cannot be written: {os.strerror(number)}") from error
        raise


def _error_number(error: Exception) -> int | None:
    """The errno, also of errors that carry it in their words only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    words = str(error)
    if match := _RUST_NUMBER.search(words):
        return int(match[1])
    # ffmpeg, a process of its own, and numpy, which counts what it could write
    if os.strerror(errno.ENOSPC) in words or _NUMPY_SHORT_WRITE.search(words):
        return errno.ENOSPC
    return None


def _where(error: Exception, place: Path | None) -> str:
    return str(place or getattr(error, "filename", None) or "the disk")


def _is_inside(error: Exception, place: Path | None) -> bool:
    """Whether what may not be touched is (in) `place`, rather than something read meanwhile."""
    if place is None:
        return not isinstance(error, PermissionError)  # which reading may raise too
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return name is None or Path(os.fsdecode(name)).is_relative_to(place.parent)
