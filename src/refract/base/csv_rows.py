"""The rows of a CSV file with a header, checked as a whole before any is used."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refract.base.errors import InputError, shorten
from refract.base.files import refuse_special


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows by the header's names, cells as they are written; blank lines are passed over.

    The file is UTF-8, with or without a byte order mark. A cell more or less than the header has
    means a comma that wants quotes: what stood behind it would be lost, or taken for another
    column.

    Raises InputError for a file that cannot be read or is no CSV, a column of `columns` that is
    missing, one that is there twice, a row of another length, and NUL.
    """
    with csv_reader(path) as reader:
        header: list[str] = next(reader, [])
        require_columns(header, columns, path)
        return [
            dict(zip(header, _checked(cells, len(header), path, line), strict=True))
            for line, cells in _numbered(reader)
        ]


@contextmanager
def csv_reader(path: Path) -> Iterator[Any]:
    """A strict `csv.reader` of a UTF-8 file, with or without a byte order mark.

    Raises InputError where the file cannot be read, or what is read of it is no CSV.
    """
    refuse_special(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield csv.reader(file, strict=True)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a UTF-8 CSV file ({error.reason}); save it as CSV UTF-8"
        ) from error
    except csv.Error as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def require_columns(present: Sequence[str], columns: Sequence[str], path: Path) -> None:
    """InputError where a column is not there, or any is there twice."""
    for name in columns:
        if name not in present:
            shown = ", ".join(column[:60] for column in present[:20]) or "none"
            raise InputError(f"{path}: column {name} is missing, found {shown}")
    for name in present:
        if present.count(name) > 1:
            raise InputError(f"{path}: column {shorten(name)} is there twice, which one counts?")


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """(line at which it ends, cells) of every row that is not blank."""
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _checked(cells: list[str], count: int, path: Path, line: int) -> list[str]:
    if len(cells) != count:
        raise InputError(
            f"{path}: line {line}: has {len(cells)} cells, must have {count} as the header has; "
            "put quotes around a cell with a comma in it"
        )
    if "\0" in "".join(cells):
        raise InputError(f"{path}: line {line}: holds NUL, must be text")
    return cells
