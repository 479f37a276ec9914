"""Layout `msrs`: {train,test}/{vi,ir,Segmentation_labels}, day and night in the file names."""

import re
from dataclasses import replace
from pathlib import Path

from refract.media.class_palette import MSRS_PALETTE
from refract.triptychs.layouts.frame_numbers import LONGEST, number_sequences
from refract.triptychs.layouts.pairing import RawItem, in_split, matched_id, same_named
from refract.triptychs.panels.picture_folders import ALIASES, need_folder

LAYOUT = "{train,test}/{vi,ir,Segmentation_labels}/00537D.png"

_DAYTIMES = {"d": "day", "n": "night"}
_STEM = re.compile(r"\d+([dn])", re.IGNORECASE)


def import_msrs(root: Path) -> list[RawItem]:
    """MSRS with its own split; labels are class ids in `MSRS_PALETTE`.

    Stems end in D (day) or N (night). No videos are named: within each split and daytime a
    sequence is a stretch of frame numbers.
    """
    items: list[RawItem] = []
    for split in ("train", "test"):
        folder = need_folder(root, split, frozenset({split}), LAYOUT)
        items += in_split(same_named(folder, ALIASES, LAYOUT), split)
    return number_sequences([_with_daytime(item) for item in items], longest=LONGEST)


def _with_daytime(item: RawItem) -> RawItem:
    match = matched_id(item, _STEM, "a number and D (day) or N (night), as 00537D")
    return replace(item, daytime=_DAYTIMES[match[1].lower()], palette=MSRS_PALETTE)
