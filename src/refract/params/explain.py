"""Turn a pydantic ValidationError into one line: key, value, what is allowed."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from refract.base.errors import shorten

_BOUNDS = (
    ("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"),
)  # fmt: skip
_KINDS = {
    "integer": "a whole number", "number": "a finite number", "boolean": "true or false",
    "string": "a string", "array": "a list", "object": "a mapping", "null": "null",
}  # fmt: skip


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """`flowalign.guidance = -1: must be a finite number >= 0`, and how many errors follow."""
    schema = model.model_json_schema()
    lines: dict[str, str] = {}  # key -> line; a union reports each of its branches under one key
    # The most telling one first: a misspelt key is both unknown and missing.
    for detail in sorted(
        error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden"
    ):
        key, line = _explain_one(detail, schema)
        lines.setdefault(key, line)
    first, *rest = lines.values()
    return first + (f" (and {len(rest)} more)" if rest else "")


def _explain_one(detail: ErrorDetails, schema: dict[str, Any]) -> tuple[str, str]:
    """(dotted key, line) of one error."""
    given = shorten(detail["input"])
    if detail["type"] == "extra_forbidden":
        key = _dotted(detail["loc"])
        section, _ = _find(schema, detail["loc"][:-1])
        return key, unknown_key(key, detail["input"], list(section.get("properties", {})))
    node, loc = _find(schema, detail["loc"])
    key = _dotted(loc)
    if detail["type"] == "value_error":  # our own checks word their message in full
        reason = str(detail["ctx"]["error"])
        whole_section = isinstance(detail["input"], dict | BaseModel)
        return key, f"{key}: {reason}" if whole_section else f"{key} = {given}: {reason}"
    if detail["type"] == "missing":
        return key, f"{key}: missing; must be {describe(schema, node)}"
    return key, f"{key} = {given}: must be {describe(schema, node)}"


def unknown_key(key: str, value: object, siblings: Sequence[str]) -> str:
    """What to say of a dotted key that is none of `siblings` (bare names of the same section)."""
    near = get_close_matches(key.rpartition(".")[2], siblings, n=1)
    hint = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(siblings)}"
    return f"{key} = {shorten(value)}: unknown key; {hint}"


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target = schema["$defs"][node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _find(
    schema: dict[str, Any], loc: tuple[int | str, ...]
) -> tuple[dict[str, Any], tuple[int | str, ...]]:
    """(schema node, location) of the deepest part of `loc` that the schema knows.

    Below a union pydantic adds the name of the branch that failed; that is no key of the file.
    """
    node = _resolve(schema, schema)
    for depth, part in enumerate(loc):
        options = [node, *(_resolve(schema, option) for option in node.get("anyOf", []))]
        children = [_child(option, part) for option in options]
        child = next((child for child in children if isinstance(child, dict)), None)
        if child is None:
            return node, loc[:depth]
        node = _resolve(schema, child)
    return node, loc


def _child(node: dict[str, Any], part: int | str) -> Any:
    if isinstance(part, int):
        return node.get("items")
    return node.get("properties", {}).get(part, node.get("additionalProperties"))


def describe(schema: dict[str, Any], node: dict[str, Any]) -> str:
    """What a JSON schema node allows, in words."""
    node = _resolve(schema, node)
    if "anyOf" in node:
        return " or ".join(describe(schema, option) for option in node["anyOf"])
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return "one of " + ", ".join(str(option) for option in node["enum"])
    words = _KINDS.get(str(node.get("type")), "a valid value")
    bounds = [f"{sign} {node[name]}" for name, sign in _BOUNDS if name in node]
    if bounds:
        words += " " + " and ".join(bounds)
    if "multipleOf" in node:
        words += f", a multiple of {node['multipleOf']}"
    if "pattern" in node:
        words += f" matching {node['pattern']}"
    words += _length(node)
    if node.get("type") == "array" and isinstance(node.get("items"), dict):
        count = _count(node)
        words = f"a list of {count}values, each {describe(schema, node['items'])}"
    return words


def _length(node: dict[str, Any]) -> str:
    least, most = node.get("minLength"), node.get("maxLength")
    if most is None:
        return " that is not empty" if least else ""
    return f" of {f'{least} to' if least else 'at most'} {most} characters"


def _count(node: dict[str, Any]) -> str:
    least, most = node.get("minItems"), node.get("maxItems")
    if least is not None and most is not None:
        return f"{least} " if least == most else f"{least} to {most} "
    if least is not None:
        return f"at least {least} "
    return f"at most {most} " if most is not None else ""
