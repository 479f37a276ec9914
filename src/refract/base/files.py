"""Files as they come from users and stages: regular ones, JSON objects, a stage's info.json.

A pipe blocks whoever opens it, and a device may have no end, so neither is opened.
"""

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refract.base.errors import InputError, shorten

INFO_NAME = "info.json"  # beside a stage's outputs: what they were made with, and from what

_SPECIAL = {
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
        kind = _SPECIAL.get(stat.S_IFMT(path.stat().st_mode))
    except (OSError, ValueError):
        return
    if kind is not None:
        raise InputError(f"{path}: is {kind}, must be a file")


def refuse_special_in(folder: Path) -> None:
    """As `refuse_special`, for all that lies in `folder` and in the folders in it."""
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        refuse_special(path)


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; InputError where it cannot be read or holds something else."""
    refuse_special(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({shorten(str(error), 120)})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold an object, found {type(content).__name__}")
    return content


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is no file.

    Raises:
        InputError: the file is no valid JSON or holds something else.
    """
    return read_json_object(path) if path.is_file() else {}


def write_info(info: Mapping[str, Any], folder: Path) -> None:
    """Write the facts on a stage's output beside it, keys sorted."""
    (folder / INFO_NAME).write_text(json.dumps(info, indent=2, sort_keys=True) + "\n")


def flatten(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, leaf) in the order of the file; a list is one leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
