"""JSON files that may be absent: the facts and figures the stages leave."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refract.errors import InputError


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is no file.

    Raises:
        InputError: the file is no valid JSON or holds something else.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold an object, found {type(content).__name__}")
    return content


def flatten(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, leaf) in the order of the file; a list is one leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
