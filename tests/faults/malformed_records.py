"""JSON that stages and models keep beside their pictures and weights: info, config, indices."""

import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.faults.malformed_case import Case, refused
from tests.tiny.world import CASE, World

KIND = "JSON: info.json, config.json, key.json"
_CONFIG = "out/ir_adapter/config.json"
_TRIPTYCHS, _EDITS, _INFRARED = (
    f"out/{name}/info.json" for name in ("triptychs", "edits", "infrared")
)

_TEXTS: dict[str, bytes] = {
    "0 bytes": b"",
    "truncated": b'{"a": [1, 2',
    "a list": b"[1, 2]",
    "a number": b"7",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NaN for an object": b"NaN",
    "100,000 brackets": b"[" * 100_000,
    "random bytes": bytes(range(256)) * 4,
}
# File, stage, whether the stage cannot do without it.
_READ = [
    (_CONFIG, "infer_ir", _CONFIG),
    (_TRIPTYCHS, "infer_ir", _TRIPTYCHS),
    (_TRIPTYCHS, "extract_ref_banks", _TRIPTYCHS),
    (_TRIPTYCHS, "evaluate", _TRIPTYCHS),
    (_EDITS, "evaluate", _EDITS),
    (_INFRARED, "evaluate", _INFRARED),
    ("fill/transformer/config.json", "infer_ir", "transformer"),
    ("fill/vae/config.json", "train_ir_adapter", "vae"),
    ("fill/tokenizer_2/tokenizer_config.json", "train_ir_adapter", "tokenizer_2"),
    ("wan/transformer/config.json", "flowalign_edit", "transformer"),
    ("wan/text_encoder/config.json", "extract_ref_banks", "text_encoder"),
    ("wan/tokenizer/tokenizer.json", "extract_ref_banks", "tokenizer"),
    ("clip/open_clip_config.json", "evaluate", "clip"),
]


def record_cases(random_: random.Random) -> Iterator[Case]:
    texts = [*_TEXTS.items()]
    for number, (file, stage, name) in enumerate(_READ):
        first = 2 * number % len(texts)
        drawn = random_.sample(texts, 2)
        for fault, content in dict([texts[first], *drawn]).items():
            make = partial(_put, file=file, content=content, stage=stage)
            is_model = not file.startswith("out/")
            expected = refused(name, allowed="")
            yield Case(KIND, f"{file}: {fault}", stage, make, expected, empty_store=is_model)
    yield from _config_cases()
    yield from _info_cases()
    yield from _model_cases()
    yield from _vote_cases()


def _put(world: World, file: str, content: bytes, stage: str) -> None:
    if stage == "extract_ref_banks" and file == _TRIPTYCHS:
        world.case("target_image", '"infer_ir"')
    world.put(file, content)


def _changed(world: World, file: str, changes: dict[str, Any]) -> None:
    document = json.loads(world.path(file).read_text())
    for key, value in changes.items():
        *above, leaf = key.split("/")
        section = document
        for name in above:
            section = section[name]
        if value is _GONE:
            del section[leaf]
        else:
            section[leaf] = value
    world.put(file, json.dumps(document))


_GONE = object()


def _config_cases() -> Iterator[Case]:
    """The adapter's own: which numbers build a network."""
    faults: list[tuple[str, Any, str]] = [
        ("rank", 0, ">= 1"), ("rank", -3, ">= 1"), ("rank", 10**12, "<= "), ("rank", "two",
         "whole"),
        ("rank", _GONE, "missing"), ("layers", -1, ">= 1"), ("layers", 10**9, "<= 8"),
        ("layers", 2, "missing"), ("heads", 7, "must be one of"), ("heads", 0, "must be one of"),
        ("panel_px", 0, ">= 32"), ("panel_px", 33, "multiple of 16"), ("panel_px", 10**9,
         "<= 2048"),
        ("panel_px", 48, "32"), ("mode", "psychic", "one of"), ("mode", None, "one of"),
        ("gate", "open", "one of"), ("site", 3, "one of"), ("position", [], "one of"),
        ("alpha", 0, "> 0"), ("alpha", "1e999", "finite"), ("fusion_alpha", 7, "<= 1"),
        ("guidance", -5, ">= 0"), ("max_sequence_length", 0, ">= 1"),
        ("max_sequence_length", 10**9, "<= 512"), ("precision", "float8", "one of"),
        ("lora_targets", [], "at least 1"), ("lora_targets", "(", "pattern"), ("lora_targets", 3,
         "string"),
        ("format", 2, "must be 1"), ("colour", "red", "unknown key"), ("model_identity", None,
         "string"),
        ("prompt", 5, "string"), ("steps", -1, ">= 1"), ("lora_targets", ["to_nowhere"],
         "no linear layer"),
    ]  # fmt: skip
    for key, value, told in faults:
        make = partial(_changed, file=_CONFIG, changes={key: value})
        shown = "gone" if value is _GONE else json.dumps(value)
        names = (_CONFIG, key) if key != "panel_px" or value != 48 else ("out/triptychs",)
        names = ("semantic_adapter",) if key == "layers" and value == 2 else names
        names = (key,) if value in ("(", ["to_nowhere"]) else names  # told where they are used
        yield Case(
            KIND, f"config.json: {key}: {shown}", "infer_ir", make, refused(*names, allowed=told)
        )


def _info_cases() -> Iterator[Case]:
    segmenter = {"path": "none/such", "revision": None, "identity": "x"}
    faults: list[tuple[str, str, dict[str, Any], tuple[str, ...], str]] = [
        (_EDITS, "evaluate", {"cases": []}, (_EDITS, "cases"), "object"),
        (_EDITS, "evaluate", {f"cases/{CASE}": 3}, (_EDITS, "cases"), "object"),
        (_EDITS, "evaluate", {f"cases/{CASE}/fallbacks": 3}, (_EDITS, "fallbacks"), "list"),
        (_EDITS, "evaluate", {f"cases/{CASE}/fallbacks": [{}]}, (_EDITS, "fallbacks"), "list"),
        (_EDITS, "evaluate", {f"cases/{CASE}/result_strength": [1]}, (_EDITS, "result_strength"),
         "number"),
        (_TRIPTYCHS, "evaluate", {"semantic_palette": 3},
         (_TRIPTYCHS, "semantic_palette"), "[r, g, b]"),
        (_TRIPTYCHS, "evaluate", {"semantic_palette": {"a": [1, 2]}}, (_TRIPTYCHS,
         "semantic_palette"), "[r, g, b]"),
        (_TRIPTYCHS, "evaluate", {"semantic_palette": {"a": [1, 2, 999]}},
         (_TRIPTYCHS, "semantic_palette"), "[r, g, b]"),
        (_TRIPTYCHS, "extract_ref_banks", {"semantic_model": 5}, (_TRIPTYCHS, "semantic_model"),
         "path"),
        (_TRIPTYCHS, "extract_ref_banks", {"semantic_model": {}}, (_TRIPTYCHS, "semantic_model"),
         "path"),
        (_TRIPTYCHS, "extract_ref_banks", {"semantic_model": segmenter | {"path": "no/such/x"}},
         ("no/such/x",), "hub id"),
    ]  # fmt: skip
    for file, stage, changes, names, told in faults:
        make = partial(_change_info, file=file, changes=changes, stage=stage)
        ((key, value),) = changes.items()
        fault = f"{file}: {key}: {json.dumps(value)}"
        yield Case(KIND, fault, stage, make, refused(*names, allowed=told))


def _change_info(world: World, file: str, changes: dict[str, Any], stage: str) -> None:
    if stage == "extract_ref_banks":
        world.case("target_image", '"infer_ir"')
    _changed(world, file, changes)


def _model_cases() -> Iterator[Case]:
    """Settings of a base that its weights are not of, or that no network can have."""
    faults: list[tuple[str, str, dict[str, Any], str]] = [
        ("fill/transformer/config.json", "infer_ir", {"num_layers": 2}, "transformer"),
        ("fill/transformer/config.json", "infer_ir", {"attention_head_dim": 17}, "transformer"),
        ("fill/transformer/config.json", "infer_ir", {"in_channels": 64}, "transformer"),
        ("fill/transformer/config.json", "infer_ir", {"num_layers": -1}, "transformer"),
        ("fill/vae/config.json", "train_ir_adapter", {"latent_channels": 3}, "vae"),
        ("wan/transformer/config.json", "flowalign_edit", {"num_attention_heads": 0},
         "transformer"),
        ("wan/transformer/config.json", "flowalign_edit", {"num_layers": "four"}, "transformer"),
        ("wan/vae/config.json", "extract_ref_banks", {"latents_std": [0, 0, 0, 0]}, "not finite"),
        ("wan/text_encoder/config.json", "extract_ref_banks", {"d_model": 17}, "text_encoder"),
        ("clip/open_clip_config.json", "evaluate", {"model_cfg": 3}, "clip"),
        ("clip/open_clip_config.json", "evaluate", {"model_cfg/embed_dim": 5}, "clip"),
    ]  # fmt: skip
    for file, stage, changes, name in faults:
        make = partial(_changed, file=file, changes=changes)
        ((key, value),) = changes.items()
        yield Case(
            KIND,
            f"{file}: {key}: {value}",
            stage,
            make,
            refused(name, allowed=""),
            empty_store=True,
        )


def _vote_cases() -> Iterator[Case]:
    """The folder of the user study's votes."""
    columns = "study,rater,pair,question,choice,left,right,seconds,time\n"

    def votes(key: str | None, table: str) -> Callable[[World], None]:
        def make(world: World) -> None:
            world.set("evaluate.votes", "votes")
            world.put("votes/a.csv", table)
            if key is not None:
                world.put("votes/key.json", key)

        return make

    for fault, key, table, names in [
        ("no key", None, columns, ("votes/key.json",)),
        ("a key that is a list", "[]", columns, ("votes/key.json",)),
        ("a key of other fields", '{"a": 1}', columns, ("votes/key.json",)),
        ("a key that is no JSON", "{", columns, ("votes/key.json",)),
    ]:
        yield Case(
            KIND, f"votes: {fault}", "evaluate", votes(key, table), refused(*names, allowed="")
        )
    yield Case(KIND, "votes: no folder", "evaluate",
               lambda world: world.set("evaluate.votes", "none"), refused("none",
               allowed="no such folder"))  # fmt: skip
