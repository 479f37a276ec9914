"""`metadata.csv` beside the pictures, and the same columns in a table: what is known of an item."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from refract.base.csv_rows import read_rows
from refract.base.errors import InputError
from refract.triptychs.layouts.pairing import RawItem
from refract.triptychs.panels.manifest import DAYTIMES, SPLIT_NAMES

METADATA_NAME = "metadata.csv"


def apply_metadata(items: list[RawItem], path: Path) -> list[RawItem]:
    """The items with the columns split, daytime, sequence and caption of `path` where it is there.

    Rows are found by `file_name`, the name of the visible picture.

    Raises InputError where rows and items do not match one to one or a value is not allowed.
    """
    if not path.exists():
        return items
    rows: dict[str, dict[str, str]] = {}
    for row in read_csv(path, ("file_name",)):
        if row["file_name"] in rows:
            raise InputError(f"{path}: {row['file_name']} is listed twice")
        rows[row["file_name"]] = row
    by_name = {item.visible.name: item for item in items}
    for name in sorted(rows.keys() ^ by_name.keys()):
        missing = "a picture in the visible folder" if name in rows else "a row"
        raise InputError(f"{path}: {name} has no {missing.removeprefix('a ')}")
    require_whole_split(rows.values(), path)
    return [with_metadata(item, rows[name], path) for name, item in by_name.items()]


def read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, values stripped; InputError as `read_rows`."""
    rows = read_rows(path, columns)
    return [{name: cell.strip() for name, cell in row.items()} for row in rows]


def require_whole_split(rows: Iterable[Mapping[str, str]], path: Path) -> None:
    """InputError where only some rows say their split."""
    if len({bool(row.get("split")) for row in rows}) > 1:
        raise InputError(f"{path}: column split is filled in some rows only; fill all or none")


def with_metadata(item: RawItem, row: Mapping[str, str], path: Path) -> RawItem:
    """The item with what its row says; an empty sequence leaves the item's own."""
    split = row.get("split") or None
    daytime = row.get("daytime") or "unknown"
    if split is not None and split not in SPLIT_NAMES:
        raise InputError(f"{path}: {item.id}: split {split!r}, allowed {', '.join(SPLIT_NAMES)}")
    if daytime not in DAYTIMES:
        raise InputError(f"{path}: {item.id}: daytime {daytime!r}, allowed {', '.join(DAYTIMES)}")
    return replace(
        item,
        split=split,
        daytime=daytime,
        sequence=row.get("sequence") or item.sequence,
        caption=row.get("caption", ""),
    )
