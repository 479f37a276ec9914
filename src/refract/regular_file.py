"""Files that are none: a pipe blocks whoever opens it, and a device may have no end."""

import stat
from pathlib import Path

from refract.errors import InputError

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def refuse_special(path: Path) -> None:
    """InputError for a pipe, socket or device, or a link to one.

    What is missing, a folder, or not to be looked at is left to whoever opens it.
    """
    try:
        kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except (OSError, ValueError):
        return
    if kind is not None:
        raise InputError(f"{path}: is {kind}, must be a file")


def refuse_special_in(folder: Path) -> None:
    """As `refuse_special`, for all that lies in `folder` and in the folders in it."""
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        refuse_special(path)
