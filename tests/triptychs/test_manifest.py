from pathlib import Path

import pytest

from refract.base.errors import InputError
from refract.triptychs.panels.manifest import MANIFEST_NAME, read_manifest
from tests.tiny.fill import write_triptychs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_triptychs(tmp_path / "triptychs", {"train": 2, "test": 1})


def test_rows_come_back_sorted_and_by_split(folder: Path) -> None:
    assert [row.id for row in read_manifest(folder)] == ["test0", "train0", "train1"]
    assert [row.id for row in read_manifest(folder, "train")] == ["train0", "train1"]
    assert all(row.path(folder).is_file() for row in read_manifest(folder))


def test_what_can_be_wrong_with_a_manifest(folder: Path) -> None:
    path = folder / MANIFEST_NAME
    text = path.read_text()
    with pytest.raises(InputError, match="no rows of split val"):
        read_manifest(folder, "val")
    path.write_text(text.replace("sequence", "series", 1))
    with pytest.raises(InputError, match="column sequence is missing"):
        read_manifest(folder)
    path.write_text(text.replace("train1,train", "train1,practice"))
    with pytest.raises(InputError, match="train1: split 'practice'"):
        read_manifest(folder)
    path.write_text(text)
    (folder / "train" / "train0.png").unlink()
    with pytest.raises(InputError, match=r"train0\.png: listed in"):
        read_manifest(folder)
    path.unlink()
    with pytest.raises(InputError, match="run the stage prepare_triptychs first"):
        read_manifest(folder)
