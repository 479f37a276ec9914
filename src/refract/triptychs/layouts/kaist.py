"""Layout `kaist`: videos of twelve sets, nested in folders or flat with the set in the name."""

import re
from dataclasses import replace
from pathlib import Path

from refract.base.errors import InputError
from refract.triptychs.layouts.pairing import RawItem, matched_id, pair_folders
from refract.triptychs.panels.picture_folders import (
    ALIASES,
    find_panel_folder,
    list_folders,
    need_folder,
)

LAYOUT = (
    "set00/V000/{visible,lwir}/I00000.jpg (set00 to set11) or {visible,lwir}/set00_V000_I00003.png"
)

_SET = re.compile(r"set(\d{2})", re.IGNORECASE)
_VIDEO = re.compile(r"V(\d{3})", re.IGNORECASE)
_FLAT_STEM = re.compile(r"set(\d{2})_V(\d{3})_I\d+", re.IGNORECASE)
_FIRST_TEST_SET, _SETS = 6, 12
_NIGHT_SETS = {3, 4, 5, 9, 10, 11}


def import_kaist(root: Path) -> list[RawItem]:
    """KAIST with its own split: set00 to set05 train, set06 to set11 test; a video is a sequence.

    set03 to set05 and set09 to set11 were taken at night.
    """
    if find_panel_folder(root, "visible", ALIASES["visible"]) is not None:
        items = _flat(root)
    else:
        items = _nested(root)
    for split, sets in (("train", "set00 to set05"), ("test", "set06 to set11")):
        if not any(item.split == split for item in items):
            present = ", ".join(sorted({item.sequence.partition("_")[0] for item in items}))
            raise InputError(f"{root}: no pictures of {sets} ({split}); found {present}")
    return items


def _flat(root: Path) -> list[RawItem]:
    items = []
    for item in _pairs(root):
        match = matched_id(item, _FLAT_STEM, "a name as set00_V000_I00003")
        items.append(_of_video(item, match[1], match[2], item.visible))
    return items


def _nested(root: Path) -> list[RawItem]:
    items = []
    for set_folder, set_number in _numbered(root, _SET, root):
        for video, number in _numbered(set_folder, _VIDEO, root):
            for item in _pairs(video):
                named = replace(item, id=f"set{set_number}_V{number}_{item.id}")
                items.append(_of_video(named, set_number, number, set_folder))
    return items


def _pairs(folder: Path) -> list[RawItem]:
    return pair_folders(
        *(need_folder(folder, kind, ALIASES[kind], LAYOUT) for kind in ("visible", "infrared"))
    )


def _numbered(folder: Path, pattern: re.Pattern[str], root: Path) -> list[tuple[Path, str]]:
    """Subfolders whose names fit, with their digits."""
    matches = [
        (path, match[1])
        for path in sorted(folder.iterdir())
        if path.is_dir() and (match := pattern.fullmatch(path.name))
    ]
    if not matches:
        raise InputError(f"{folder}: found {list_folders(folder)}; expected {LAYOUT} in {root}")
    return matches


def _of_video(item: RawItem, set_number: str, video: str, path: Path) -> RawItem:
    number = int(set_number)
    if number >= _SETS:
        raise InputError(f"{path}: set{set_number}, expected set00 to set{_SETS - 1}")
    return replace(
        item,
        sequence=f"set{set_number}_V{video}",
        split="train" if number < _FIRST_TEST_SET else "test",
        daytime="night" if number in _NIGHT_SETS else "day",
    )
