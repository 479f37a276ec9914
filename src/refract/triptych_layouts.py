"""Importers: data sets as they lie on disk, as a list of raw items. Nothing is decoded here."""

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from refract.errors import InputError
from refract.image_reading import is_picture

SPLITS = ("train", "val", "test")
DAYTIMES = ("day", "night", "unknown")
METADATA_NAME = "metadata.csv"

ALIASES = {  # folder names, lower case
    "visible": frozenset({"vi", "vis", "visible", "rgb", "color"}),
    "infrared": frozenset({"ir", "infrared", "lwir", "thermal", "tir", "imgr"}),
    "semantic": frozenset({"semantic", "panoptic", "seg", "segmentation_labels", "labels"}),
}
_ROADSCENE_ALIASES = {
    "visible": ALIASES["visible"] | {"crop_lr_visible", "crop_hr_visible"},
    "infrared": ALIASES["infrared"] | {"cropinfrared"},
    "semantic": ALIASES["semantic"],
}
# RoadScene frames are samples of driving videos, named by frame number. Frames further apart than
# this are taken to be of different scenes.
_ROADSCENE_FRAME_GAP = 100


@dataclass(frozen=True)
class RawItem:
    """One scene: its source files and what is known about it."""

    id: str
    visible: Path
    infrared: Path
    semantic: Path | None
    sequence: str
    split: str | None = None
    daytime: str = "unknown"
    caption: str = ""


def import_generic(root: Path) -> list[RawItem]:
    """Two or three folders of same-named files, and optionally `metadata.csv`."""
    return _apply_metadata(_same_named(root, ALIASES), root / METADATA_NAME)


def import_roadscene(root: Path) -> list[RawItem]:
    """RoadScene: (crop_LR_)visible and (crop)infrared; a run of near frame numbers is a sequence.

    `crop_LR_visible` is the visible picture at the resolution of the infrared one and wins over
    `crop_HR_visible` where both are there.
    """
    return _number_sequences(_same_named(root, _ROADSCENE_ALIASES))


LAYOUTS: Mapping[str, Callable[[Path], list[RawItem]]] = {
    "generic": import_generic,
    "roadscene": import_roadscene,
}


def import_items(layout: str, root: Path) -> list[RawItem]:
    """All items of the data set at `root`, sorted by id; InputError where it is not in shape."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder (prepare_triptychs.source)")
    return sorted(LAYOUTS[layout](root), key=lambda item: item.id)


def find_panel_folder(root: Path, kind: str, names: frozenset[str]) -> Path | None:
    """The folder of `root` that holds one kind of picture, by its name."""
    found = sorted(path for path in root.iterdir() if path.is_dir() and path.name.lower() in names)
    if "crop_lr_visible" in {path.name.lower() for path in found}:
        found = [path for path in found if path.name.lower() != "crop_hr_visible"]
    if len(found) > 1:
        listed = ", ".join(path.name for path in found)
        raise InputError(f"{root}: several folders could be the {kind} one: {listed}")
    return found[0] if found else None


def pictures_by_stem(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by file name without suffix; other files are passed over."""
    pictures: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file() and is_picture(path)):
        if path.stem in pictures:
            raise InputError(f"{path}: same name as {pictures[path.stem].name}, which one counts?")
        pictures[path.stem] = path
    if not pictures:
        raise InputError(f"{folder}: holds no pictures")
    return pictures


def _same_named(root: Path, aliases: Mapping[str, frozenset[str]]) -> list[RawItem]:
    folders = {kind: find_panel_folder(root, kind, names) for kind, names in aliases.items()}
    for kind in ("visible", "infrared"):
        if folders[kind] is None:
            raise InputError(
                f"{root}: no {kind} folder; allowed names: {', '.join(sorted(aliases[kind]))}"
            )
    pictures = {kind: pictures_by_stem(path) for kind, path in folders.items() if path}
    visible = pictures["visible"]
    for kind, found in pictures.items():
        for stem in sorted(found.keys() ^ visible.keys()):
            path = found.get(stem) or visible[stem]
            lacking = folders["visible"] if stem in found else folders[kind]
            raise InputError(f"{path}: no picture of the same name in {lacking}")
    semantic = pictures.get("semantic", {})
    return [
        RawItem(stem, visible[stem], pictures["infrared"][stem], semantic.get(stem), sequence=stem)
        for stem in visible
    ]


def _number_sequences(items: list[RawItem]) -> list[RawItem]:
    def number(item: RawItem) -> tuple[str, int]:
        match = re.fullmatch(r"(.*?)(\d*)", item.id)
        assert match is not None  # both groups may be empty
        return match[1], int(match[2] or 0)

    ordered = sorted(items, key=number)
    numbered = [replace(ordered[0], sequence=ordered[0].id)]
    for before, item in pairwise(ordered):
        (prefix, last), (own_prefix, frame) = number(before), number(item)
        near = own_prefix == prefix and frame - last <= _ROADSCENE_FRAME_GAP
        numbered.append(replace(item, sequence=numbered[-1].sequence if near else item.id))
    return numbered


def _apply_metadata(items: list[RawItem], path: Path) -> list[RawItem]:
    if not path.is_file():
        return items
    rows = _read_metadata(path)
    by_name = {item.visible.name: item for item in items}
    for name in sorted(rows.keys() ^ by_name.keys()):
        missing = "a picture in the visible folder" if name in rows else "a row"
        raise InputError(f"{path}: {name} has no {missing.removeprefix('a ')}")
    if len({bool(row.get("split")) for row in rows.values()}) > 1:
        raise InputError(f"{path}: column split is filled in some rows only; fill all or none")
    return [_with_metadata(item, rows[name], path) for name, item in by_name.items()]


def _read_metadata(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [{k: (v or "").strip() for k, v in row.items() if k} for row in reader]
            columns = reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a UTF-8 CSV file ({error})") from error
    if "file_name" not in columns:
        raise InputError(f"{path}: column file_name is missing, found {', '.join(columns) or '-'}")
    by_name: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["file_name"] in by_name:
            raise InputError(f"{path}: {row['file_name']} is listed twice")
        by_name[row["file_name"]] = row
    return by_name


def _with_metadata(item: RawItem, row: dict[str, str], path: Path) -> RawItem:
    split = row.get("split") or None
    daytime = row.get("daytime") or "unknown"
    if split is not None and split not in SPLITS:
        raise InputError(f"{path}: {item.id}: split {split!r}, allowed {', '.join(SPLITS)}")
    if daytime not in DAYTIMES:
        raise InputError(f"{path}: {item.id}: daytime {daytime!r}, allowed {', '.join(DAYTIMES)}")
    return replace(
        item,
        split=split,
        daytime=daytime,
        sequence=row.get("sequence") or item.id,
        caption=row.get("caption", ""),
    )
