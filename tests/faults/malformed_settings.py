"""Wrong values of every key of params.yaml, made from what its schema allows."""

import json
import math
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

from refract.params.whole import Params
from tests.faults.malformed_case import Case, refused
from tests.tiny.world import World

KIND = "params.yaml: values of wrong type or out of bounds"

# Which stage reads a top-level key; where several do, one of them.
_STAGES = {
    "seed": "train_ir_adapter", "ref_timesteps": "extract_ref_banks",
    "infrared_model": "infer_ir", "video_model": "flowalign_edit",
    "prepare_triptychs": "prepare_triptychs", "ir_adapter": "train_ir_adapter",
    "infer_ir": "infer_ir", "ref_bank": "extract_ref_banks", "evaluate": "evaluate",
}  # fmt: skip
_OF_EDIT = "flowalign_edit"
# YAML text of a value by JSON schema type that it is not. A whole number is a number too.
_WRONG = {
    "integer": ["1.5", "'3'", "true", "[1]", "{a: 1}", "1e400", ".nan", "0x", "1_0.0", "~x"],
    "number": ["'0.5'", "true", "[0.5]", "{a: 0.5}", ".nan", ".inf", "-.inf", "NaN", "1,5", "½"],
    "boolean": ["1", "0", "'true'", "yes", "[true]", "{}"],
    "string": ["5", "true", "1.5", "[a]", "{a: b}", "2001-12-14", "!!binary aGVsbG8="],
    "array": ["5", "{a: 1}", "[{a: 1}]", "[[[]]]", "!!set {a}"],
    "object": ["5", "[]", "a", "null", "[{a: 1}]"],
}
_ACCEPTS_LISTS = frozenset({"ir_adapter.lora_targets", "infer_ir.attention_maps.steps"})


def settings_cases(random_: random.Random, count: int) -> list[Case]:
    """`count` wrong values, each key at most once until every key has had one."""
    pool: dict[str, list[tuple[str, str]]] = {}
    for key, value, fault in _wrong_values():
        pool.setdefault(key, []).append((value, fault))
    chosen: list[Case] = []
    while len(chosen) < count:
        keys = sorted(pool)
        random_.shuffle(keys)
        for key in keys[: count - len(chosen)]:
            value, fault = pool[key].pop(random_.randrange(len(pool[key])))
            if not pool[key]:
                del pool[key]
            stage = _STAGES.get(key.partition(".")[0], _OF_EDIT)
            expected = refused("params.yaml", key, allowed="must be")
            if value == "2001-12-14":  # so is this, by its line alone
                expected = refused("params.yaml", "timestamp", allowed="which no key takes")
            if value.startswith("!!"):  # refused before anyone knows whose value it is
                expected = refused("params.yaml", "tag", allowed="only plain values are allowed")
            make = partial(World.set, key=key, value=value)
            chosen.append(Case(KIND, f"{key}: {value} ({fault})", stage, make, expected))
    return chosen


def _wrong_values() -> Iterator[tuple[str, str, str]]:
    """(dotted key, YAML text, what is wrong with it) of every key."""
    schema = Params.model_json_schema()
    for key, node in _leaves(schema, schema):
        options = [_resolved(schema, option) for option in node.get("anyOf", [node])]
        types = {str(option.get("type", "string")) for option in options}
        for kind in sorted(types - {"null"}):
            for value in _WRONG[kind]:
                if not _allowed_by_another(value, types, key):
                    yield key, value, f"no {kind}"
        if "null" not in types:
            yield key, "null", "null"
        for option in options:
            yield from ((key, value, fault) for value, fault in _out_of_bounds(option))
        if len(types) == 1 and "enum" in options[0]:
            for word in options[0]["enum"]:
                yield key, json.dumps(f"{word} "), "a word that is nearly one of its"
                yield key, json.dumps(str(word).upper()), "a word in capitals"


def _allowed_by_another(value: str, types: set[str], key: str) -> bool:
    """Whether the value is right for another type that the key takes."""
    quoted = value.startswith(("'", "yes", "0x", "1_0", "~x", "NaN", "1,5", "½"))
    if "string" in types and (quoted or value == "a"):
        return True
    if "array" in types and (value.startswith("[") and not value.startswith(("[{", "[["))):
        return True
    whole = value in ("5", "1", "0")
    return ("number" in types or "integer" in types) and whole


def _out_of_bounds(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    step = 1 if node.get("type") == "integer" else 0.001
    for name, sign, strict in (
        ("minimum", -1, False), ("exclusiveMinimum", -1, True),
        ("maximum", 1, False), ("exclusiveMaximum", 1, True),
    ):  # fmt: skip
        if name in node:
            bound = node[name]
            yield str(bound if strict else bound + sign * step), f"just beyond its {name}"
            yield str(bound + sign * 10 ** (20 if step == 1 else 300)), f"far beyond its {name}"
    if "multipleOf" in node:
        yield str(math.ceil(node["minimum"]) + 1), "no multiple"
    if node.get("minLength"):
        yield "''", "an empty string"
    if "maxLength" in node:
        yield json.dumps("x" * (node["maxLength"] + 1)), "a string that is too long"
    if node.get("minItems"):
        yield "[]", "an empty list"
    if "maxItems" in node:
        item = node["items"]
        one = item["enum"][0] if "enum" in item else item.get("minimum", 0)
        if item.get("type") != "array":
            yield json.dumps([one] * (node["maxItems"] + 1)), "a list that is too long"


def _leaves(
    schema: dict[str, Any], node: dict[str, Any], above: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in node["properties"].items():
        child = _resolved(schema, child)
        if "properties" in child:
            yield f"{above}{name}", {"type": "object"}
            yield from _leaves(schema, child, f"{above}{name}.")
        else:
            yield f"{above}{name}", child


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = {**schema["$defs"][node["$ref"].rpartition("/")[2]], **node}
        del node["$ref"]
    return node
