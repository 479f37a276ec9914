"""What libraries raise on a full or read-only disk, and what is made of it."""

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from refract.base.disk_errors import DiskFullError, storing
from refract.base.errors import InputError

PLACE = Path("out/edits")
_RUST = "Error while serializing: I/O error: No space left on device (os error 28)"
_RUST_READ_ONLY = "Error while serializing: I/O error: Read-only file system (os error 30)"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "out/edits/clip.mkv"),
        OSError(errno.EFBIG, os.strerror(errno.EFBIG)),
        SafetensorError(_RUST),
        RuntimeError(
            "ffmpeg could not write a.mkv: Error writing trailer: No space left on device"
        ),
        OSError("100000 requested and 8176 written"),  # numpy
    ],
)
def test_a_full_disk_is_one_line_with_the_place(error: Exception) -> None:
    pattern = r"^out/edits: .*: free some; finished items"
    with pytest.raises(DiskFullError, match=pattern) as told, storing(PLACE):
        raise error
    assert "\n" not in str(told.value) and told.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EROFS, os.strerror(errno.EROFS), "out/edits/a.png"),
        PermissionError(errno.EACCES, os.strerror(errno.EACCES), "out/.tmp-1-edits"),
        SafetensorError(_RUST_READ_ONLY),
    ],
)
def test_a_place_that_may_not_be_written_is_bad_input(error: Exception) -> None:
    with pytest.raises(InputError, match=r"^out/edits: cannot be written: "), storing(PLACE):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, os.strerror(errno.EACCES), "data/secret.png"),
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "out/edits/a"),
        RuntimeError("shape mismatch"),
        InputError("steps = 0"),
        DiskFullError("the inner place"),
    ],
)
def test_anything_else_comes_as_it_was(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, storing(PLACE):
        raise error
    assert raised.value is error


def test_without_a_place_the_error_names_its_own() -> None:
    full = OSError(errno.ENOSPC, "full", "out/edits/clip.mkv")
    with pytest.raises(DiskFullError, match=r"^out/edits/clip\.mkv: "), storing():
        raise full
    with pytest.raises(InputError, match=r"^state/lock: cannot be written"), storing():
        raise OSError(errno.EROFS, "read-only", "state/lock")
    with pytest.raises(PermissionError), storing():  # it may have been read
        raise PermissionError(errno.EACCES, "denied", "data/secret.png")
