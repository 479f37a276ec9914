from pathlib import Path

import pytest

from refract.base.errors import InputError
from refract.models.identity import local_model_folder, model_identity


def test_hub_models_are_named_by_id_and_revision() -> None:
    assert model_identity("owner/name", "abc123") == "owner/name@abc123"
    assert model_identity("owner/name", None) == "owner/name@main"


def test_manifest_decides_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    before = model_identity(str(tmp_path), None)
    (tmp_path / "notes.txt").write_text("not in the manifest")
    assert model_identity(str(tmp_path), None) == before
    (tmp_path / "manifest.json").write_text('{"a": 1}')
    assert model_identity(str(tmp_path), None) != before


def test_without_a_manifest_any_new_file_counts(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "weights.safetensors").write_bytes(b"12")
    before = model_identity(str(tmp_path), None)
    assert model_identity(str(tmp_path), None) == before
    (tmp_path / "vae" / "weights.safetensors").write_bytes(b"123")
    assert model_identity(str(tmp_path), None) != before


def test_variables_in_a_path_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "models").mkdir()
    assert local_model_folder("$DVC_ROOT/models") == tmp_path / "models"


@pytest.mark.parametrize(
    "reference", ["backbones/typo", "./nowhere", "/nowhere/at/all", "name", ""]
)
def test_missing_folders_are_input_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backbones").mkdir()
    with pytest.raises(InputError, match="no such folder"):
        model_identity(reference, None)
