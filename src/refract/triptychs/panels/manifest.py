"""`manifest.csv` of a triptych folder: one row a triptych, file at `<split>/<id>.png`.

Also what names the data set: a hash over the rows and the content of their source files.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from refract.base.csv_rows import read_rows
from refract.base.errors import InputError, shorten
from refract.base.item_names import check_item_names

MANIFEST_NAME = "manifest.csv"
SPLIT_NAMES = ("train", "val", "test")
DAYTIMES = ("day", "night", "unknown")


@dataclass(frozen=True)
class TriptychRow:
    """visible, infrared, semantic: source file names (semantic empty: none was there)."""

    id: str
    split: str
    visible: str
    infrared: str
    semantic: str
    caption: str
    daytime: str  # day | night | unknown
    sequence: str

    def path(self, folder: Path) -> Path:
        """Where the triptych lies in the triptych folder."""
        return folder / self.split / f"{self.id}.png"


def write_manifest(rows: Sequence[TriptychRow], folder: Path) -> None:
    """Write the rows, sorted by id."""
    names = [field.name for field in fields(TriptychRow)]
    with (folder / MANIFEST_NAME).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in sorted(rows, key=lambda row: row.id))


def read_manifest(folder: Path, split: str | None = None) -> list[TriptychRow]:
    """The rows of a triptych folder (of one split), sorted by id.

    Raises InputError where the manifest is missing, is no CSV, lacks a column, holds an unknown
    split or daytime, an id twice or one that leads elsewhere, names a file that is not there, or
    has no row of the wanted split.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise InputError(f"{path}: missing; run the stage prepare_triptychs first")
    names = [field.name for field in fields(TriptychRow)]
    rows = [TriptychRow(**{name: row[name] for name in names}) for row in read_rows(path, names)]
    check_item_names([row.id for row in rows], path)
    repeated = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: id {repeated[0]} is listed twice")
    for row in rows:
        _check_word(path, row, "split", SPLIT_NAMES)
        _check_word(path, row, "daytime", DAYTIMES)
        if not row.path(folder).is_file():
            raise InputError(f"{row.path(folder)}: listed in {path}, but not there")
    wanted = [row for row in rows if split in (None, row.split)]
    if not wanted:
        raise InputError(f"{path}: no rows" + (f" of split {split}" if split else ""))
    return sorted(wanted, key=lambda row: row.id)


def _check_word(path: Path, row: TriptychRow, column: str, allowed: Sequence[str]) -> None:
    word = getattr(row, column)
    if word not in allowed:
        raise InputError(
            f"{path}: {row.id}: {column} {shorten(word)}, allowed {', '.join(allowed)}"
        )


def content_hash(rows: Sequence[TriptychRow], files: Mapping[str, Mapping[str, str]]) -> str:
    """sha256, in hexadecimal, over the manifest's rows and the content of their source files.

    `files`: id -> {kind: sha256 of the source file}. The order of the rows does not count; any
    other change of a row (split, caption, ...) or of a pixel does. The sizes and the libraries
    that made the triptychs do not.
    """
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row.id):
        line = json.dumps([asdict(row), dict(files[row.id])], sort_keys=True)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
