import json
from pathlib import Path

import pytest
import torch

from refract.base.errors import InputError
from refract.editing.reference.bank import ReferenceBank
from refract.evaluation.measures.run_facts import (
    bank_facts,
    count_fallbacks,
    edit_facts,
    infrared_facts,
)


def _info(folder: Path, **facts: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "info.json").write_text(json.dumps(facts))
    return folder


def _bank(sigma: float) -> ReferenceBank:
    pair = {"key": torch.zeros(2, 1, 4), "value": torch.zeros(2, 1, 4)}
    return ReferenceBank({0: pair}, torch.zeros(2, 2), {"sigmas": [sigma]})


def test_only_what_a_reader_needs_is_taken(tmp_path: Path) -> None:
    triptychs = _info(tmp_path / "t")
    (triptychs / "manifest.csv").write_text("id\n")
    infrared = _info(tmp_path / "i", model="m", steps=20, torch="2", counts={"adapter": 3})
    facts = infrared_facts(triptychs, infrared)
    assert facts == {"model": "m", "steps": 20, "split": facts["split"]}
    (triptychs / "manifest.csv").write_text("id\na\n")
    assert infrared_facts(triptychs, infrared)["split"] != facts["split"]


def test_the_data_set_is_named(tmp_path: Path) -> None:
    named = {"layout": "msrs", "content_hash": "c0ffee", "infrared_scaling": "8 bit: as stored"}
    triptychs = _info(tmp_path / "t", **named, counts={"train": 3})
    (triptychs / "manifest.csv").write_text("id\n")
    facts = infrared_facts(triptychs, _info(tmp_path / "i", model="m"))
    assert facts == named | {"model": "m", "split": facts["split"]}
    (triptychs / "info.json").unlink()  # triptychs of a user's own making
    assert infrared_facts(triptychs, tmp_path / "i") == {"model": "m", "split": facts["split"]}


def test_strength_is_given_where_the_cases_agree(tmp_path: Path) -> None:
    same = {"a": {"result_strength": 1.0}, "b": {"result_strength": 1.0}}
    assert edit_facts(_info(tmp_path, model="m", cases=same))["result_strength"] == 1.0
    other = same | {"b": {"result_strength": 0.5}}
    assert "differs" in edit_facts(_info(tmp_path, cases=other))["result_strength"]
    assert edit_facts(_info(tmp_path, model="m")) == {"model": "m"}


def test_banks_are_counted_and_their_noise_level_told(tmp_path: Path) -> None:
    assert bank_facts(tmp_path, ["a"]) == {"banks": 0}
    _bank(0.3).save(tmp_path / "a.safetensors")
    assert bank_facts(tmp_path, ["a", "none"]) == {"banks": 1, "bank_sigmas": "0.3"}
    _bank(0.5).save(tmp_path / "b.safetensors")
    assert "differs" in bank_facts(tmp_path, ["a", "b"])["bank_sigmas"]


def test_a_damaged_bank_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="damaged"):
        bank_facts(tmp_path, ["a"])


@pytest.mark.parametrize(
    ("cases", "told"),
    [
        ([], r"cases = \[\]: must be an object"),
        ({"a": 3}, "must be an object of an object a case"),
        ({"a": {"result_strength": [1]}}, r"cases\.a\.result_strength = \[1\]: must be a number"),
        ({"a": {"fallbacks": "none"}}, r"cases\.a\.fallbacks = 'none': must be a list"),
    ],
)
def test_damaged_facts_of_cases_are_input_errors(tmp_path: Path, cases: object, told: str) -> None:
    edits = _info(tmp_path, cases=cases)
    with pytest.raises(InputError, match=told):
        edit_facts(edits)
        count_fallbacks(edits)
