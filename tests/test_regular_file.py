"""What is no file is refused before a byte of it is asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from refract.ablation.manifest import FILE, read_sweep
from refract.csv_rows import read_rows
from refract.errors import InputError
from refract.image_reading import open_upright
from refract.infrared_levels import is_deep
from refract.item_store import hash_file
from refract.json_object import read_json_object
from refract.model_identity import local_model_folder
from refract.params.document import read_yaml
from refract.user_study.study_key import load_key

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
