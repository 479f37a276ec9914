"""The short part of the same bytes, and that the comparison sees a difference."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from refract.media.video_io import Clip, write_clip
from tests.faults import determinism


@pytest.mark.long
def test_two_clones_leave_the_same_bytes() -> None:
    (row,) = determinism.run(0, long=False)
    assert row.losses == 0, row
    assert row.count == 2


def write(path: Path, level: int) -> Path:
    """A file of each kind whose values are `level` apart from those of level 0."""
    pixels = np.full((2, 16, 16, 3), 100 + level, np.uint8)
    if path.suffix == ".png":
        Image.fromarray(pixels[0]).save(path)
    elif path.suffix == ".mkv":
        write_clip(path, Clip(pixels, 8.0), "lossless")
    elif path.suffix == ".safetensors":
        save_file({"weight": pixels.astype(np.float32)}, path)
    else:
        path.write_text(json.dumps({"a": {"b": 1000 + level, "c": "text"}}))
    return path


@pytest.mark.parametrize(
    ("ending", "expected"), [(".png", 3), (".mkv", 3), (".safetensors", 3), (".json", 3 / 1003)]
)
def test_differences_are_measured(tmp_path: Path, ending: str, expected: float) -> None:
    one, other = write(tmp_path / f"a{ending}", 0), write(tmp_path / f"b{ending}", 3)
    assert determinism.difference(one, other) == pytest.approx(expected)
    assert determinism.difference(one, write(tmp_path / f"c{ending}", 0)) == 0


def test_another_form_is_an_infinite_difference(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 9)).save(tmp_path / "b.png")
    assert determinism.difference(tmp_path / "a.png", tmp_path / "b.png") == float("inf")
    assert determinism._relative({"a": 1}, {"b": 1}) == float("inf")
    assert determinism._relative({"a": "x"}, {"a": "y"}) == float("inf")


def test_a_byte_or_a_file_more_is_a_loss(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("a", "b", "c")}
    for name, path in files.items():
        path.write_text(name)
    same = {"x": files["a"], "y": files["b"]}
    assert determinism._same("t", same, same).losses == 0
    assert determinism._same("t", same, same | {"y": files["c"]}).losses == 1
    assert determinism._same("t", same, same | {"z": files["c"]}).losses == 1
