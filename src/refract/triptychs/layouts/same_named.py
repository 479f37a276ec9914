"""Folders of same-named pictures: layouts `generic`, `m3fd`, `roadscene`, `dronevehicle`."""

from dataclasses import replace
from pathlib import Path

from refract.triptychs.layouts.frame_numbers import LONGEST, number_sequences
from refract.triptychs.layouts.metadata import METADATA_NAME, apply_metadata
from refract.triptychs.layouts.pairing import RawItem, in_split, pair_folders, same_named
from refract.triptychs.panels.manifest import SPLIT_NAMES
from refract.triptychs.panels.picture_folders import ALIASES, need_folder

_GENERIC = "folders of same-named files: visible, infrared and, where there are maps, semantic"


def import_generic(root: Path) -> list[RawItem]:
    """`ALIASES` gives the folder names, in any case; `metadata.csv` may add what is known."""
    return apply_metadata(same_named(root, ALIASES, _GENERIC), root / METADATA_NAME)


_M3FD = "{Vis,Ir}/00000.png or {vi,ir}/00000.png"


def import_m3fd(root: Path) -> list[RawItem]:
    """M3FD: same-named pictures, numbered through over all drives.

    The data set does not say which frames are of one video, so a sequence is a stretch of frame
    numbers (`number_sequences`). Who knows better puts the column sequence into `metadata.csv`.
    """
    items = number_sequences(same_named(root, ALIASES, _M3FD), longest=LONGEST)
    return apply_metadata(items, root / METADATA_NAME)


_ROADSCENE = "crop_LR_visible/*.jpg and cropinfrared/*.jpg"

_NAMES = {
    "visible": ALIASES["visible"] | {"crop_lr_visible", "crop_hr_visible"},
    "infrared": ALIASES["infrared"] | {"cropinfrared"},
    "semantic": ALIASES["semantic"],
}


def import_roadscene(root: Path) -> list[RawItem]:
    """RoadScene: (crop_LR_)visible and (crop)infrared; a run of near frame numbers is a sequence.

    `crop_LR_visible` is the visible picture at the resolution of the infrared one and wins over
    `crop_HR_visible` where both are there. The folders may hold a stray `Thumbs` file.
    """
    return number_sequences(same_named(root, _NAMES, _ROADSCENE))


_DRONEVEHICLE = "{train,val,test}/{split}img and {split}imgr, as train/trainimg and train/trainimgr"
WHITE_BORDER_PX = 100


def import_dronevehicle(root: Path) -> list[RawItem]:
    """DroneVehicle with its own three splits; the white border of its pictures is cropped.

    File names repeat between the splits, so an id is <split>_<name>. Within each split a sequence
    is a stretch of numbers.
    """
    items: list[RawItem] = []
    for split in SPLIT_NAMES:
        folder = need_folder(root, split, frozenset({split}), _DRONEVEHICLE)
        visible = need_folder(folder, "visible", frozenset({f"{split}img"}), _DRONEVEHICLE)
        infrared = need_folder(folder, "infrared", frozenset({f"{split}imgr"}), _DRONEVEHICLE)
        items += in_split(pair_folders(visible, infrared), split)
    named = [
        replace(item, id=f"{item.split}_{item.id}", white_border_px=WHITE_BORDER_PX)
        for item in items
    ]
    return number_sequences(named, longest=LONGEST)
