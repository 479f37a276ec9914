"""Turn a pydantic ValidationError into one line: key, value, what is allowed."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from refract.errors import shorten

_BOUNDS = (
    ("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"),
)  # fmt: skip
_KINDS = {
    "integer": "a whole number", "number": "a finite number", "boolean": "true or false",
    "string": "a string", "array": "a list", "object": "a mapping", "null": "null",
}  # fmt: skip


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """`flowalign.guidance = -1: must be a finite number >= 0`, and how many errors follow."""
    details = error.errors(include_url=False)
    # The most telling one first: a misspelt key is both unknown and missing.
    first = min(details, key=lambda detail: detail["type"] != "extra_forbidden")
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return _line(first, model) + more


def _line(detail: ErrorDetails, model: type[BaseModel]) -> str:
    key = _dotted(detail["loc"])
    schema = model.model_json_schema()
    if detail["type"] == "extra_forbidden":
        siblings = list(_find(schema, detail["loc"][:-1]).get("properties", {}))
        return unknown_key(key, detail["input"], siblings)
    if detail["type"] == "value_error":  # our own cross-field checks word their message in full
        own = str(detail["ctx"]["error"])
        if isinstance(detail["input"], dict | BaseModel):
            return f"{key}: {own}" if key else own
        return f"{key} = {shorten(detail['input'])}: {own}"
    allowed = describe(schema, _find(schema, detail["loc"]))
    if detail["type"] == "missing":
        return f"{key}: missing; must be {allowed}"
    return f"{key} = {shorten(detail['input'])}: must be {allowed}"


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


def _find(schema: dict[str, Any], loc: tuple[int | str, ...]) -> dict[str, Any]:
    """The schema node at a location; an empty one where it cannot be told."""
    node = _resolve(schema, schema)
    for part in loc:
        options = [node, *(_resolve(schema, option) for option in node.get("anyOf", []))]
        for option in options:
            extra = option.get("additionalProperties")
            child = (
                option.get("items")
                if isinstance(part, int)
                else option.get("properties", {}).get(part, extra if extra else None)
            )
            if isinstance(child, dict):
                node = _resolve(schema, child)
                break
    return node


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
    if "minLength" in node:
        words += " that is not empty"
    if node.get("type") == "array" and isinstance(node.get("items"), dict):
        count = _count(node)
        words = f"a list of {count}values, each {describe(schema, node['items'])}"
    return words


def _count(node: dict[str, Any]) -> str:
    least, most = node.get("minItems"), node.get("maxItems")
    if least is not None and most is not None:
        return f"{least} " if least == most else f"{least} to {most} "
    if least is not None:
        return f"at least {least} "
    return f"at most {most} " if most is not None else ""
