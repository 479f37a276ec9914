import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from refract.base.errors import InputError
from refract.base.yaml_files import read_yaml
from refract.params.whole import Params, load_stage_params
from refract.pipeline.profile import apply_profile


@pytest.fixture
def params(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(root / "params.yaml", tmp_path / "params.yaml"))


def leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def test_params_are_the_micro_profile(root: Path, params: Path) -> None:
    assert apply_profile(params, root / "profiles/micro.yaml") == 0
    assert params.read_bytes() == (root / "params.yaml").read_bytes()


def test_full_profile_is_valid_and_micro_leads_back(root: Path, params: Path) -> None:
    overlay = leaves(read_yaml(root / "profiles/full.yaml"))
    assert apply_profile(params, root / "profiles/full.yaml") == len(overlay)
    load_stage_params(Params, params)
    now = leaves(read_yaml(params))
    assert {key: now[key] for key in overlay} == overlay
    apply_profile(params, root / "profiles/micro.yaml")
    assert params.read_bytes() == (root / "params.yaml").read_bytes(), "comments, layout and all"


def test_profiles_hold_only_what_differs(root: Path) -> None:
    micro = leaves(read_yaml(root / "profiles/micro.yaml"))
    full = leaves(read_yaml(root / "profiles/full.yaml"))
    assert micro.keys() == full.keys(), "else one could not undo the other"
    assert not [key for key in full if full[key] == micro[key]]


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        ("sede: 1\n", "sede: params.yaml has no such key"),
        ("flowalign: {zetta: 1}\n", "flowalign.zetta: params.yaml has no such key"),
        ("flowalign: 3\n", "flowalign: one is a section"),
        ("seed: {a: 1}\n", "seed: one is a section"),
    ],
)
def test_unfit_overlays_change_nothing(params: Path, overlay: str, told: str) -> None:
    before = params.read_bytes()
    file = params.with_name("odd.yaml")
    file.write_text(overlay)
    with pytest.raises(InputError, match=re.escape(told)):
        apply_profile(params, file)
    assert params.read_bytes() == before


def test_every_key_has_a_comment(root: Path) -> None:
    lines = (root / "params.yaml").read_text().splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if re.match(r"\s*\w+:", line):
            assert "#" in line or above.lstrip().startswith("#"), f"no comment: {line}"
