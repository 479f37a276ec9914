"""JSON files that may be absent: the facts and figures the stages leave."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refract.json_object import read_json_object


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is no file.

    Raises:
        InputError: the file is no valid JSON or holds something else.
    """
    return read_json_object(path) if path.is_file() else {}


def flatten(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, leaf) in the order of the file; a list is one leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
