"""`manifest.csv` of a triptych folder: one row a triptych, file at `<split>/<id>.png`."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from refract.errors import InputError

MANIFEST_NAME = "manifest.csv"
SPLIT_NAMES = ("train", "val", "test")


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

    Raises InputError where the manifest is missing, lacks a column, holds an unknown split, names
    a file that is not there, or has no row of the wanted split.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise InputError(f"{path}: missing; run the stage prepare_triptychs first")
    names = [field.name for field in fields(TriptychRow)]
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lacking = [name for name in names if name not in (reader.fieldnames or [])]
        if lacking:
            raise InputError(f"{path}: column {lacking[0]} is missing")
        rows = [TriptychRow(**{name: row[name] or "" for name in names}) for row in reader]
    for row in rows:
        if row.split not in SPLIT_NAMES:
            raise InputError(f"{path}: {row.id}: split {row.split!r}, allowed {SPLIT_NAMES}")
        if not row.path(folder).is_file():
            raise InputError(f"{row.path(folder)}: listed in {path}, but not there")
    wanted = [row for row in rows if split in (None, row.split)]
    if not wanted:
        raise InputError(f"{path}: no rows" + (f" of split {split}" if split else ""))
    return sorted(wanted, key=lambda row: row.id)
