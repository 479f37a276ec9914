"""How the pictures being measured were made, read from what the earlier stages left beside them."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from refract.errors import InputError
from refract.reference_bank import ReferenceBank
from refract.triptych_manifest import MANIFEST_NAME

INFO_NAME = "info.json"
INFRARED_KEYS = (
    "model", "mode", "steps", "samples", "guidance", "bits", "dtype", "device", "semantic_source",
)  # fmt: skip
TRIPTYCH_KEYS = ("layout", "content_hash", "infrared_scaling")
EDIT_KEYS = ("model", "dtype", "device")
CASE_KEYS = ("result_strength",)

Facts = dict[str, Any]


def read_info(folder: Path) -> Facts:
    """`info.json` of a stage's output.

    Raises:
        InputError: the file is missing or no JSON object.
    """
    path = folder / INFO_NAME
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing; run the stage that writes {folder} first") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(info, dict):
        raise InputError(f"{path}: must hold an object, found {type(info).__name__}")
    return info


def infrared_facts(triptychs: Path, infrared: Path) -> Facts:
    """Model and settings of the infrared run, and what names its data set and split.

    Triptychs without `info.json`, say a user's own, have no more than the digest of the split.
    """
    path = triptychs / MANIFEST_NAME
    if not path.is_file():
        raise InputError(f"{path}: missing; run the stage prepare_triptychs first")
    split = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    prepared = read_info(triptychs) if (triptychs / INFO_NAME).is_file() else {}
    facts = _chosen(read_info(infrared), INFRARED_KEYS) | {"split": split}
    return facts | _chosen(prepared, TRIPTYCH_KEYS)


def edit_facts(edits: Path) -> Facts:
    """Model of the edits, and the reference strength where all cases share one."""
    info = read_info(edits)
    cases = info.get("cases", {})
    shared = {key: _one({case.get(key) for case in cases.values()}) for key in CASE_KEYS if cases}
    return _chosen(info, EDIT_KEYS) | shared


def count_fallbacks(edits: Path) -> Facts:
    """How many cases had to do with less than they should have, by what it was; mostly none."""
    found = Counter(
        fallback.replace(" ", "_")
        for case in read_info(edits).get("cases", {}).values()
        for fallback in case.get("fallbacks", ())
    )
    return dict(sorted(found.items()))


def bank_facts(banks: Path, names: Iterable[str]) -> Facts:
    """How many cases had a reference bank, and what the banks were recorded at.

    Raises:
        InputError: a damaged bank.
    """
    paths = [path for name in names if (path := banks / f"{name}.safetensors").is_file()]
    facts = [ReferenceBank.load(path).facts for path in paths]
    sigmas = {" ".join(f"{sigma:g}" for sigma in fact.get("sigmas", ())) for fact in facts}
    return {"banks": len(facts)} | ({"bank_sigmas": _one(sigmas)} if facts else {})


def _chosen(info: Facts, keys: Iterable[str]) -> Facts:
    return {key: info[key] for key in keys if key in info}


def _one(values: set[Any]) -> Any:
    """The value all agree on, or that they differ."""
    return values.pop() if len(values) == 1 else "differs between cases"
