from pathlib import Path

import pytest

from refract.base.csv_rows import read_rows
from refract.base.errors import InputError


def read(folder: Path, content: bytes) -> list[dict[str, str]]:
    path = folder / "t.csv"
    path.write_bytes(content)
    return read_rows(path, ("a", "b"))


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n",
        b"\xef\xbb\xbfa,b\r\n1,2\r\n",
        b"a,b\n1,2",
        b"a,b\n\n1,2\n\n\n",
        b"b,a\n2,1\n",
    ],
)
def test_rows_by_the_names_of_the_header(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == [{"a": "1", "b": "2"}]


def test_quotes_keep_commas_and_line_ends(tmp_path: Path) -> None:
    assert read(tmp_path, b'a,b\n"x, ""y""\nz",\n') == [{"a": 'x, "y"\nz', "b": ""}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "column a is missing, found none"),
        (b"a;b\n1;2\n", "column a is missing, found a;b"),
        (b"a,b,a\n1,2,3\n", "column 'a' is there twice"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: has 3 cells, must have 2"),
        (b"a,b\n1\n", "line 2: has 1 cells, must have 2"),
        (b'a,b\n1,"2\n', "not a readable CSV file"),
        (b"a,b\n1,\0\n", "holds NUL"),
        (b"a,b\n1,\xff\n", "not a UTF-8 CSV file"),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", "not a readable CSV file"),
    ],
)
def test_what_would_lose_or_shift_a_cell_is_refused(
    tmp_path: Path, content: bytes, told: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    assert told in str(caught.value) and "t.csv" in str(caught.value)


def test_a_folder_by_that_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_rows(tmp_path, ("a",))
