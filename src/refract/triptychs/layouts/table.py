"""Layout `table`: a CSV or parquet file with a row a scene."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refract.base.csv_rows import require_columns
from refract.base.errors import InputError
from refract.base.files import refuse_special
from refract.triptychs.layouts.metadata import read_csv, require_whole_split, with_metadata
from refract.triptychs.layouts.pairing import RawItem
from refract.triptychs.layouts.table_pictures import picture_of

LAYOUT = "one .csv or .parquet file with columns src_img, edited_img, panoptic_img"

_PICTURES = {"visible": "src_img", "infrared": "edited_img", "semantic": "panoptic_img"}
_REQUIRED = ("src_img", "edited_img")
_KNOWN = ("split", "daytime", "sequence", "caption")  # optional, as in metadata.csv
_BATCH = 32  # rows; a parquet file may hold the pictures themselves

Row = dict[str, Any]


def import_table(source: Path) -> list[RawItem]:
    """A table of visible (`src_img`), infrared (`edited_img`) and semantic (`panoptic_img`).

    `source` is the file or a folder with one. A cell is a file name relative to the table, or, in
    parquet, an encoded picture: bytes, or {bytes, path} as the `datasets` library writes them.
    `panoptic_img` may be missing or empty. The columns of `metadata.csv` are known here too. An
    item is named by its visible file, or by its row (from 0) where those names repeat.

    Raises InputError for an unreadable table, a missing column, file or cell.
    """
    path = _find_table(source)
    cells, rows = [], []
    for number, row in enumerate(_rows(path)):
        cells.append(_pictures(row, f"{path}: row {number}", path.parent))
        rows.append({name: str(row.get(name) or "").strip() for name in _KNOWN})
    if not cells:
        raise InputError(f"{path}: has no rows")
    require_whole_split(rows, path)
    stems = [pictures["visible"].stem for pictures in cells]
    distinct = len(set(stems)) == len(stems)
    names = stems if distinct else [f"{number:06d}" for number in range(len(stems))]
    items = [
        RawItem(name, paths["visible"], paths["infrared"], paths.get("semantic"), sequence=name)
        for name, paths in zip(names, cells, strict=True)
    ]
    return [with_metadata(item, row, path) for item, row in zip(items, rows, strict=True)]


def _find_table(source: Path) -> Path:
    """The file itself, or the one table of a folder."""
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.is_file())
    else:
        files = [source]
    tables = [path for path in files if path.suffix.lower() in (".csv", ".parquet")]
    if len(tables) != 1:
        present = ", ".join(path.name for path in tables or files) or "nothing"
        raise InputError(f"{source}: expected {LAYOUT}; found {present}")
    return tables[0]


def _rows(path: Path) -> Iterator[Row]:
    if path.suffix.lower() == ".csv":
        yield from read_csv(path, _REQUIRED)
    else:
        yield from _parquet_rows(path)


def _parquet_rows(path: Path) -> Iterator[Row]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    refuse_special(path)
    try:
        with ParquetFile(path) as file:
            columns = list(file.schema_arrow.names)
            require_columns(columns, _REQUIRED, path)
            wanted = [name for name in (*_PICTURES.values(), *_KNOWN) if name in columns]
            for batch in file.iter_batches(_BATCH, columns=wanted):
                yield from batch.to_pylist()
    except InputError:
        raise
    except (ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise InputError(f"{path}: not a readable parquet file ({error})") from error


def _pictures(row: Mapping[str, Any], place: str, folder: Path) -> dict[str, Path]:
    """Files by kind; only the semantic one may be missing."""
    pictures = {}
    for kind, column in _PICTURES.items():
        path = picture_of(row.get(column), folder, f"{place}: {column}")
        if path is not None:
            pictures[kind] = path
        elif column in _REQUIRED:
            raise InputError(f"{place}: {column} is empty, expected a file name or a picture")
    return pictures
