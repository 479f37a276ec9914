"""How the pictures being measured were made, read from what the earlier stages left beside them."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from refract.base.errors import InputError, shorten
from refract.base.files import INFO_NAME, read_json_object
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, state_root
from refract.triptychs.panels.manifest import MANIFEST_NAME

INFRARED_KEYS = (
    "model", "mode", "steps", "samples", "guidance", "bits", "dtype", "device", "semantic_source",
)  # fmt: skip
TRIPTYCH_KEYS = ("layout", "content_hash", "infrared_scaling")
EDIT_KEYS = ("model", "dtype", "device")
CASE_KEYS = ("result_strength",)

Facts = dict[str, Any]


def read_info(folder: Path) -> Facts:
    """`info.json` of a stage's output.

    Raises InputError: the file is missing or no JSON object.
    """
    path = folder / INFO_NAME
    if not path.is_file():
        raise InputError(f"{path}: missing; run the stage that writes {folder} first")
    return read_json_object(path)


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
    cases = case_facts(info, edits)
    for name, case in cases.items():
        if not isinstance(case.get("result_strength", 0), int | float):
            raise InputError(
                f"{edits / INFO_NAME}: cases.{name}.result_strength = "
                f"{shorten(case['result_strength'])}: must be a number"
            )
    shared = {
        key: _agreed({case.get(key) for case in cases.values()}) for key in CASE_KEYS if cases
    }
    return _chosen(info, EDIT_KEYS) | shared


def count_fallbacks(edits: Path) -> Facts:
    """How many cases had to do with less than they should have, by what it was; mostly none."""
    counts: Counter[str] = Counter()
    for name, case in case_facts(read_info(edits), edits).items():
        fallbacks = case.get("fallbacks", [])
        if not isinstance(fallbacks, list) or not all(isinstance(x, str) for x in fallbacks):
            raise InputError(
                f"{edits / INFO_NAME}: cases.{name}.fallbacks = {shorten(fallbacks)}: must be a "
                "list of strings"
            )
        counts.update(fallback.replace(" ", "_") for fallback in fallbacks)
    return dict(sorted(counts.items()))


def bank_facts(banks: Path, names: Iterable[str]) -> Facts:
    """How many cases had a reference bank, and what the banks were recorded at.

    Raises InputError: a damaged bank.
    """
    paths = [path for name in names if (path := banks / f"{name}.safetensors").is_file()]
    store = ItemStore(state_root(), "evaluate")
    facts = [_facts_of_bank(path, store) for path in paths]
    sigmas = {" ".join(f"{sigma:g}" for sigma in fact.get("sigmas", ())) for fact in facts}
    return {"banks": len(facts)} | ({"bank_sigmas": _agreed(sigmas)} if facts else {})


def _facts_of_bank(path: Path, store: ItemStore) -> Facts:
    """What a bank was made from; kept in the store, for reading one takes torch."""

    def write(folder: Path) -> None:
        from refract.editing.reference.bank import ReferenceBank

        (folder / INFO_NAME).write_text(json.dumps(dict(ReferenceBank.load(path).facts)))

    code = closure("refract.editing.reference.bank")
    key = store.key(params={}, inputs={"bank": hash_file(path)}, code=code)
    return read_info(store.get_or_make(key, write))


def case_facts(info: Facts, edits: Path) -> Mapping[str, Facts]:
    """Case -> what info.json of the edits says of it; InputError where it is no such object."""
    cases = info.get("cases", {})
    if not isinstance(cases, dict) or not all(isinstance(case, dict) for case in cases.values()):
        raise InputError(
            f"{edits / INFO_NAME}: cases = {shorten(cases)}: must be an object of an object a case"
        )
    return cases


def _chosen(info: Facts, keys: Iterable[str]) -> Facts:
    return {key: info[key] for key in keys if key in info}


def _agreed(values: set[Any]) -> Any:
    """The value all agree on, or that they differ."""
    return values.pop() if len(values) == 1 else "differs between cases"
