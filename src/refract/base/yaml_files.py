"""Reading a YAML settings file that somebody may have got wrong."""

import re
from pathlib import Path
from typing import Any, ClassVar

from yaml import CSafeLoader, MappingNode, MarkedYAMLError, Node, ScalarNode, YAMLError

from refract.base.errors import InputError, shorten
from refract.base.files import refuse_special

_MOST_BYTES = 1 << 19  # which takes the parser seconds
_MOST_NODES = 100_000  # counted after aliases, so a small file cannot expand without bound
_MOST_DEPTH = 16
_CORE = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _CORE + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge")
)
_ALLOWED = (
    f"at most {_MOST_NODES} values, anchors counted wherever they are used, and {_MOST_DEPTH} "
    "levels are allowed"
)
_OTHER_VERSION = re.compile(r"^%YAML\s+(?!1\.2\s)", re.MULTILINE)


class _Loader(CSafeLoader):
    """PyYAML with the scalars of YAML 1.2 as DVC's reader takes them, in place of those of 1.1."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


# Name, pattern and first letters; the first that fits decides. The last two are refused below.
for _name, _pattern, _firsts in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (
        "float",
        r"[-+]?[0-9][0-9_]*(\.[0-9_]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
        r"|[-+]?\.[0-9_]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("int", r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9_]+)", "-+0123456789"),
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (
        "timestamp",
        r"\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?([Tt]|[ \t]+)\d\d?:\d\d:\d\d(\.\d*)?"
        r"([ \t]*(Z|[-+]\d\d?(:\d\d)?))?",
        "0123456789",
    ),
    ("value", r"=", "="),
):
    _Loader.add_implicit_resolver(
        _CORE + _name, re.compile(rf"({_pattern})\Z", re.ASCII), list(_firsts)
    )


def _integer(_: CSafeLoader, node: ScalarNode) -> int:
    text = node.value.replace("_", "")
    return int(text, {"0b": 2, "0o": 8, "0x": 16}.get(text.lstrip("+-")[:2], 10))


def _floating(_: CSafeLoader, node: ScalarNode) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", node.value.replace("_", "").lower()))


_Loader.add_constructor(_CORE + "int", _integer)
_Loader.add_constructor(_CORE + "float", _floating)


def parse_yaml(text: str) -> Any:
    """What a program wrote, YAML or not: YAMLError or ValueError where it is none."""
    return _Loader(text).get_single_data()


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML 1.2 file, read as DVC reads it (`1e-3` is a number, `no` a string).

    Raises InputError for a missing, unreadable, oversized, malformed or empty file, a declared
    version other than 1.2, tags of other than plain values, timestamps, duplicate keys, keys that
    are not strings, strings with NUL, and a top level that is not a mapping.
    """
    path = Path(path)
    text = _read_text(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _check_nodes(path, node)
        document = None if node is None else loader.construct_document(node)
    except InputError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: not valid YAML: {error.problem or 'malformed'}") from error
    except (YAMLError, ValueError, LookupError, TypeError) as error:
        # The last three are of scalars that are not what their tag says: `!!bool perhaps`.
        raise InputError(f"{path}: not valid YAML: {shorten(str(error))}") from error
    if not isinstance(document, dict):
        kind = "empty" if document is None else f"a {type(document).__name__}"
        raise InputError(f"{path}: is {kind}; must be a mapping of keys to values")
    return document


def _read_text(path: Path) -> str:
    refuse_special(path)
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise InputError(f"{path}: holds {size} bytes; at most {_MOST_BYTES} are allowed")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if _OTHER_VERSION.search(text):
        raise InputError(f"{path}: a %YAML line of another version than 1.2; leave it out")
    return text


def _check_nodes(path: Path, document: Node) -> None:
    """Before anything is made of the nodes: merging keys alone would expand a file without bound.

    An alias is the node it names, so a walk meets that as often as it is used.
    """
    count = 0
    pending = [(document, 0)]
    while pending:
        node, depth = pending.pop()
        count += 1
        if count > _MOST_NODES or depth > _MOST_DEPTH:
            raise InputError(f"{path}: {_ALLOWED}")
        _check_node(path, node)
        if isinstance(node, MappingNode):
            pending += [(part, depth + 1) for pair in node.value for part in pair]
        elif not isinstance(node, ScalarNode):
            pending += [(part, depth + 1) for part in node.value]


def _check_node(path: Path, node: Node) -> None:
    where = f"{path}:{node.start_mark.line + 1}"
    if node.tag == f"{_CORE}timestamp":
        raise InputError(f"{where}: not valid YAML: a timestamp, which no key takes; quote it")
    if node.tag not in _TAGS:
        raise InputError(
            f"{where}: tag {shorten(node.tag)}: only plain values are allowed, without tag"
        )
    if isinstance(node, ScalarNode) and "\0" in node.value:
        raise InputError(f"{where}: {shorten(node.value)}: must not hold NUL")
    if isinstance(node, MappingNode):
        _check_keys(path, [key for key, _ in node.value])


def _check_keys(path: Path, keys: list[Node]) -> None:
    seen = set()
    for key in keys:
        where = f"{path}:{key.start_mark.line + 1}"
        if key.tag not in (f"{_CORE}str", f"{_CORE}merge"):
            bare = key.value[:60] if isinstance(key, ScalarNode) else "of several values"
            raise InputError(f"{where}: key {bare or 'null'}: must be a string; quote it")
        if (key.tag, key.value) in seen:
            raise InputError(f"{where}: not valid YAML: duplicate key {shorten(key.value)}")
        seen.add((key.tag, key.value))
