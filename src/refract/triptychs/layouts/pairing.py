"""What an importer finds, one scene of a data set on disk, and how its pictures are paired."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from refract.base.errors import InputError
from refract.media.class_palette import ClassPalette
from refract.triptychs.panels.picture_folders import (
    find_panel_folder,
    need_folder,
    pictures_by_stem,
)


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
    palette: ClassPalette | None = None  # set: the semantic file holds ids of these classes
    white_border_px: int = 0  # a white margin of this width, on each side of every picture


def same_named(root: Path, aliases: Mapping[str, frozenset[str]], layout: str) -> list[RawItem]:
    """The items of `root` with a visible, an infrared and perhaps a semantic folder.

    Each item is a sequence of its own, named by its file stem. `layout` describes the folder in
    an error line.

    Raises InputError for a missing or ambiguous folder or a picture without its counterpart.
    """
    visible, infrared = (
        need_folder(root, kind, aliases[kind], layout) for kind in ("visible", "infrared")
    )
    return pair_folders(visible, infrared, find_panel_folder(root, "semantic", aliases["semantic"]))


def pair_folders(visible: Path, infrared: Path, semantic: Path | None = None) -> list[RawItem]:
    """Items of same-named pictures in two or three folders, in the order of their names.

    Raises InputError for a folder without pictures and for a picture without its counterpart.
    """
    pictures = pictures_by_stem(visible)
    thermal = counterparts(pictures, visible, infrared)
    maps = counterparts(pictures, visible, semantic) if semantic else {}
    return [
        RawItem(stem, path, thermal[stem], maps.get(stem), sequence=stem)
        for stem, path in pictures.items()
    ]


def counterparts(visible: Mapping[str, Path], folder: Path, other: Path) -> dict[str, Path]:
    """The pictures of `other` by stem; InputError where its stems differ from those of `visible`.

    `folder` is where the visible pictures lie.
    """
    pictures = pictures_by_stem(other)
    for stem in sorted(pictures.keys() ^ visible.keys()):
        path, lacking = (pictures[stem], folder) if stem in pictures else (visible[stem], other)
        raise InputError(f"{path}: no picture of the same name in {lacking}")
    return pictures


def matched_id(item: RawItem, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
    """The item's id by a data set's own pattern; InputError saying what was `expected`."""
    match = pattern.fullmatch(item.id)
    if match is None:
        raise InputError(f"{item.visible}: expected {expected}; found {item.id}")
    return match


def in_split(items: list[RawItem], split: str) -> list[RawItem]:
    """The items, marked as of the data set's own split."""
    return [replace(item, split=split) for item in items]
