"""Reading a YAML settings file that somebody may have got wrong."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from refract.errors import InputError, shorten

_MOST_BYTES = 1 << 20
_MOST_NODES = 100_000  # counted after aliases, so a small file cannot expand without bound
_MOST_DEPTH = 16


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML 1.2 file, read as DVC reads it (`1e-3` is a number, `no` a string).

    Raises InputError for a missing, unreadable, oversized, malformed or empty file, duplicate
    keys, keys that are not strings, and a top level that is not a mapping.
    """
    text = _read_text(Path(path))
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: {error.problem or 'not valid YAML'}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {shorten(str(error))}") from error
    if not isinstance(document, dict):
        kind = "empty" if document is None else f"a {type(document).__name__}"
        raise InputError(f"{path}: is {kind}; must be a mapping of keys to values")
    _check_nodes(path, document)
    return document


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise InputError(f"{path}: holds {size} bytes; at most {_MOST_BYTES} are allowed")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _check_nodes(path: Path, document: object) -> None:
    count = 0
    pending: list[tuple[object, int]] = [(document, 0)]
    while pending:
        node, depth = pending.pop()
        count += 1
        if count > _MOST_NODES or depth > _MOST_DEPTH:
            raise InputError(
                f"{path}: at most {_MOST_NODES} values and {_MOST_DEPTH} levels are allowed"
            )
        if isinstance(node, dict):
            for key in node:
                if not isinstance(key, str):
                    raise InputError(f"{path}: key {shorten(key)}: must be a string; quote it")
            pending.extend((value, depth + 1) for value in node.values())
        elif isinstance(node, list):
            pending.extend((value, depth + 1) for value in node)
