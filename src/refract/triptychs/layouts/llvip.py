"""Layout `llvip`: {visible,infrared}/{train,test}, one camera place a pair of leading digits."""

import re
from dataclasses import replace
from pathlib import Path

from refract.triptychs.layouts.pairing import RawItem, in_split, matched_id, pair_folders
from refract.triptychs.panels.picture_folders import ALIASES, need_folder

LAYOUT = "{visible,infrared}/{train,test}/010001.jpg"

_KINDS = ("visible", "infrared")
_SPLITS = ("train", "test")
_STEM = re.compile(r"(\d{2})\d{4}")


def import_llvip(root: Path) -> list[RawItem]:
    """LLVIP with its own split.

    The cameras stand still: all frames of a place, the first two of six digits, are one sequence
    within their split.
    """
    kinds = {kind: need_folder(root, kind, ALIASES[kind], LAYOUT) for kind in _KINDS}
    items: list[RawItem] = []
    for split in _SPLITS:
        visible, infrared = (
            need_folder(folder, split, frozenset({split}), LAYOUT) for folder in kinds.values()
        )
        items += in_split(pair_folders(visible, infrared), split)
    return [_with_place(item) for item in items]


def _with_place(item: RawItem) -> RawItem:
    match = matched_id(item, _STEM, "six digits (place and frame, as 010001)")
    return replace(item, sequence=f"{item.split}_{match[1]}")
