from pathlib import Path

import pytest

from refract.errors import InputError
from refract.json_object import read_json_object


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
