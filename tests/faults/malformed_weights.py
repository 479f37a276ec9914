"""Weights that are damaged or of another model: bases, adapters, reference banks, judges."""

import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.malformed_case import Case, Handled, refused
from tests.tiny.world import CASE, OUTPUTS, World

FILES = "safetensors: damaged files"
CONTENTS = "safetensors: names, shapes, types, values of another model"

Tensors = dict[str, np.ndarray]
Change = Callable[[Tensors], Tensors]
_LORA = "out/ir_adapter/pytorch_lora_weights.safetensors"
_SEMANTIC = "out/ir_adapter/semantic_adapter.safetensors"
_BANK = f"out/ref_banks/{CASE}.safetensors"

# File, stage that reads it, what the line must name.
_READ = [
    (_LORA, "infer_ir", _LORA),
    (_SEMANTIC, "infer_ir", _SEMANTIC),
    (_BANK, "flowalign_edit", _BANK),
    (_BANK, "evaluate", _BANK),
    ("fill/transformer/diffusion_pytorch_model.safetensors", "infer_ir", "transformer"),
    ("fill/vae/diffusion_pytorch_model.safetensors", "train_ir_adapter", "vae"),
    ("fill/text_encoder/model.safetensors", "train_ir_adapter", "text_encoder"),
    ("fill/text_encoder_2/model.safetensors", "infer_ir", "text_encoder_2"),
    ("wan/transformer/diffusion_pytorch_model.safetensors", "flowalign_edit", "transformer"),
    ("wan/vae/diffusion_pytorch_model.safetensors", "extract_ref_banks", "vae"),
    ("wan/text_encoder/model.safetensors", "extract_ref_banks", "text_encoder"),
    ("clip/open_clip_model.safetensors", "evaluate", "clip"),
]


def file_cases(random_: random.Random) -> Iterator[Case]:
    """Every reader gets three of the damages, in turn."""
    damages = [*_DAMAGES.items()]
    for number, (file, stage, name) in enumerate(_READ):
        for step in range(3):
            fault, damage = damages[(3 * number + step) % len(damages)]
            make = partial(_damage, file=file, damage=damage, random_=random_)
            told = "missing" if fault == "missing" and file in (_LORA, _SEMANTIC) else ""
            told = "extract_ref_banks first" if fault == "missing" and file == _BANK else told
            if fault == "missing" and stage == "evaluate":
                continue  # a case without a bank is a plain edit
            expected = refused(name, allowed=told)
            yield Case(FILES, f"{file}: {fault}", stage, make, expected, empty_store=True)


def _damage(world: World, file: str, damage: Callable[[bytes, random.Random], bytes | None],
            random_: random.Random) -> None:  # fmt: skip
    content = damage(world.path(file).read_bytes(), random_)
    world.remove(file) if content is None else world.put(file, content)


def _header(length: int, text: bytes) -> Callable[[bytes, random.Random], bytes]:
    def damage(whole: bytes, _: random.Random) -> bytes:
        return struct.pack("<Q", length) + text

    return damage


def _with_header(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes, Any], bytes]:
    """The file with its header changed and its data as they were."""

    def damage(whole: bytes, _: random.Random) -> bytes:
        (length,) = struct.unpack("<Q", whole[:8])
        header = json.loads(whole[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + whole[8 + length :]

    return damage


def _first(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(x for name, x in sorted(header.items()) if "dtype" in x)
    return found


def _grow(header: dict[str, Any]) -> None:
    _first(header)["shape"] = [2**31, 2**31]


def _overlap(header: dict[str, Any]) -> None:
    _first(header)["data_offsets"] = [0, 1 << 40]


def _unknown_type(header: dict[str, Any]) -> None:
    _first(header)["dtype"] = "F7"


_DAMAGES: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "0 bytes": lambda whole, _: b"",
    "truncated": lambda whole, random_: whole[: int(len(whole) * random_.uniform(0.4, 0.95))],
    "a header of 2^62 bytes": _header(2**62, b"{}"),
    "a header of 90 MB that is not there": _header(90_000_000, b"{}"),
    "a header that is no JSON": _header(8, b"not json"),
    "a header that is a list": _header(2, b"[]"),
    "random bytes": lambda _, random_: random_.randbytes(3000),
    "a pickle": lambda *_: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "a ZIP, as torch.save writes": lambda *_: b"PK\x03\x04" + bytes(60),
    "missing": lambda *_: None,
    "a shape larger than the data": _with_header(_grow),
    "offsets beyond the file": _with_header(_overlap),
    "a type that is unknown": _with_header(_unknown_type),
}


def content_cases(random_: random.Random) -> Iterator[Case]:
    """Files that are sound in themselves."""
    for file, stage, name in _READ:
        if stage == "evaluate" and file == _BANK:
            continue  # it reads the facts alone
        for fault, change, told in _changes(file):
            make = partial(_rewrite, file=file, change=change)
            # Of a base each weight cannot be looked at, but nothing that is not finite comes out.
            is_base = fault.startswith("NaN") and file.startswith(("fill", "wan"))
            told = "loss is nan" if is_base and stage == "train_ir_adapter" else told
            expected = refused(*(() if is_base else (name,)), allowed=told)
            yield Case(CONTENTS, f"{file}: {fault}", stage, make, expected, empty_store=True)
    yield from _surplus_cases()
    yield from _bank_facts()


def _surplus_cases() -> Iterator[Case]:
    """A base with a weight that is not of its network: left out, and said."""
    for file, stage, part in _READ:
        if file.startswith(("fill", "wan")):
            make = partial(_with_surplus, file=file, stage=stage)
            expected = Handled(partial(_has_outputs, stage=stage), f"{part}: 1 weights are not of")
            yield Case(CONTENTS, f"{file}: a weight too many", stage, make, expected, True)


def _with_surplus(world: World, file: str, stage: str) -> None:
    for name in OUTPUTS[stage]:  # of the sound run
        shutil.rmtree(world.out(name), ignore_errors=True)
    _rewrite(world, file, _one_more)


def _has_outputs(world: World, stage: str) -> None:
    for name in OUTPUTS[stage]:
        assert any(world.out(name).iterdir()), f"{name} is empty"


def _one_more(tensors: Tensors) -> Tensors:
    return {**tensors, "x.y.z": np.zeros(3, np.float32)}


def _changes(file: str) -> list[tuple[str, Change, str]]:
    changes: list[tuple[str, Change, str]] = [
        ("a weight is missing", _without_last, "issing" if "bank" not in file else ""),
        ("a weight of another shape", _longer, ""),
        ("NaN in a weight", _with_nan, "NaN" if "ir_adapter" in file else "finite"),
        ("all weights of another model", lambda _: {"x": np.zeros(3, np.float32)}, ""),
    ]
    if file in (_LORA, _SEMANTIC, _BANK):
        changes += [
            ("a weight too many", _one_more, ""),
            ("whole numbers for weights", _whole, "float"),
            ("no weights", lambda _: {}, ""),
        ]
    return changes


def _rewrite(world: World, file: str, change: Change) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save

    path = world.path(file)
    with safe_open(path, "np") as opened:
        metadata = opened.metadata()
    world.put(file, save(change(load_file(path)), metadata))


def _last(tensors: Tensors) -> str:
    return sorted(name for name in tensors if tensors[name].ndim > 0 and "positions" not in name)[
        -1
    ]


def _without_last(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if name != _last(tensors)}


def _longer(tensors: Tensors) -> Tensors:
    name = _last(tensors)
    value = tensors[name]
    return {**tensors, name: np.concatenate([value, value])}


def _with_nan(tensors: Tensors) -> Tensors:
    return {name: np.full_like(value, np.nan) if value.dtype.kind == "f" else value
            for name, value in tensors.items()}  # fmt: skip


def _whole(tensors: Tensors) -> Tensors:
    return {name: value.astype(np.int32) for name, value in tensors.items()}


def _bank_facts() -> Iterator[Case]:
    """What a bank's header says of how it was made."""
    faults: list[tuple[str, str, Change, str]] = [
        ("no header", "", lambda x: x, "format"),
        ("a header that is no JSON", "{", lambda x: x, "damaged or not a bank"),
        ("a header that is a list", "[]", lambda x: x, "damaged or not a bank"),
        ("another format", '{"format": "refract reference bank 9", "facts": {}}', lambda x: x,
         "format"),
        ("no facts", '{"format": "refract reference bank 1"}', lambda x: x,
         "damaged or not a bank"),
        ("facts that are a list", '{"format": "refract reference bank 1", "facts": []}',
         lambda x: x,
         "damaged or not a bank"),
        ("a depth that is text", '{"format": "refract reference bank 1", "facts": {"depth": "x"}}',
         lambda x: x, "extract it again"),
        ("sigmas that are text",
         '{"format": "refract reference bank 1", "facts": {"sigmas": ["x"], "depth": 4}}',
         lambda x: x,
         "sigmas"),
        ("facts of a deeper model",
         '{"format": "refract reference bank 1", "facts": {"depth": 30}}',
         lambda x: x, "30 layers"),
        ("positions in three columns", "", _three_columns, "positions"),
    ]  # fmt: skip
    for fault, header, change, told in faults:
        stage = "evaluate" if "sigmas" in fault else "flowalign_edit"
        keep = "positions" in fault
        make = partial(_other_facts, header=header, change=change, keep=keep)
        yield Case(
            CONTENTS, f"bank: {fault}", stage, make, refused(_BANK, allowed=told), empty_store=True
        )


def _three_columns(tensors: Tensors) -> Tensors:
    positions = tensors["positions"]
    return {**tensors, "positions": np.concatenate([positions, positions[:, :1]], 1)}


def _other_facts(world: World, header: str, change: Change, *, keep: bool) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save

    path: Path = world.path(_BANK)
    with safe_open(path, "np") as opened:
        metadata = opened.metadata()
    if not keep:
        metadata = {"reference_bank": header} if header else {}
    world.put(_BANK, save(change(load_file(path)), metadata))
