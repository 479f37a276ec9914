"""Reading a YAML settings file that somebody may have got wrong."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from refract.base.errors import InputError, shorten
from refract.base.files import refuse_special

_MOST_BYTES = 1 << 19  # which takes the parser seconds
_MOST_NODES = 100_000  # counted after aliases, so a small file cannot expand without bound
_MOST_DEPTH = 16
_CORE = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _CORE + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge")
)
_IMPLICIT = _TAGS | {_CORE + "timestamp"}  # a bare 2001-12-14, which no key takes: it says so
_ALLOWED = (
    f"at most {_MOST_NODES} values, anchors counted wherever they are used, and {_MOST_DEPTH} "
    "levels are allowed"
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML 1.2 file, read as DVC reads it (`1e-3` is a number, `no` a string).

    Raises InputError for a missing, unreadable, oversized, malformed or empty file, tags of other
    than plain values, duplicate keys, keys that are not strings, strings with NUL or halves of
    surrogate pairs, and a top level that is not a mapping.
    """
    path = Path(path)
    text = _read_text(path)
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        if node is not None:
            _check_nodes(path, node)
        document = None if node is None else yaml.constructor.construct_document(node)
    except InputError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: not valid YAML: {error.problem or 'malformed'}") from error
    except RecursionError as error:
        raise InputError(f"{path}: not valid YAML: {_ALLOWED}") from error
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        # The last four are of scalars that are not what their tag says: `!!bool perhaps`.
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
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


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
        _check_node(f"{path}:{node.start_mark.line + 1}", node)
        if isinstance(node, MappingNode):
            pending += [(part, depth + 1) for pair in node.value for part in pair]
        elif not isinstance(node, ScalarNode):
            pending += [(part, depth + 1) for part in node.value]


def _check_node(where: str, node: Node) -> None:
    tag = str(node.tag)
    if tag not in (_IMPLICIT if isinstance(node, ScalarNode) else _TAGS):
        raise InputError(f"{where}: tag {shorten(tag)}: only plain values are allowed, without tag")
    if isinstance(node, ScalarNode) and (fault := _text_fault(node.value)):
        raise InputError(f"{where}: {shorten(node.value)}: {fault}")
    if isinstance(node, MappingNode):
        for key, _ in node.value:
            if str(key.tag) not in (_CORE + "str", _CORE + "merge"):
                bare = key.value[:60] if isinstance(key, ScalarNode) else "of several values"
                raise InputError(f"{where}: key {bare or 'null'}: must be a string; quote it")


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "must not hold NUL"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return "must be Unicode text, without halves of surrogate pairs"
    return None
