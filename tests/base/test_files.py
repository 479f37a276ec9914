"""What is no file is refused before a byte of it is asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from refract.base.csv_rows import read_rows
from refract.base.errors import InputError
from refract.base.files import read_json_object
from refract.base.yaml_files import read_yaml
from refract.evaluation.votes.study_key import load_key
from refract.experiments.ablation.manifest import FILE, read_sweep
from refract.media.image_reading import open_upright
from refract.models.identity import local_model_folder
from refract.pipeline.item_store import hash_file
from refract.triptychs.preparing.infrared_levels import is_deep


def test_an_object(tmp_path: Path) -> None:
    path = tmp_path / "info.json"
    path.write_text('{"a": [1, null]}')
    assert read_json_object(path) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not valid JSON"),
        (b'{"a": ', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b"[1]", "must hold an object, found list"),
    ],
)
def test_anything_else_is_an_input_error(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "info.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json_object(path)
    assert str(path) in str(caught.value) and told in str(caught.value)


READERS: dict[str, Callable[[Path], object]] = {
    "picture": open_upright,
    "depth of a picture": is_deep,
    "table": lambda path: read_rows(path, ()),
    "settings": read_yaml,
    "JSON": read_json_object,
    "hash": hash_file,
    "key of a study": load_key,
    "manifest of a sweep": lambda path: read_sweep(path.parent),
    "model": lambda path: local_model_folder(str(path.parent)),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_device_is_no_file(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    path = tmp_path / FILE
    path.symlink_to("/dev/null")  # of the same kind as a pipe to the check, and never blocks
    with pytest.raises(InputError, match="is a device, must be a file"):
        reader(path)
