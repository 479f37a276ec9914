"""Layout `dronevehicle`: {train,val,test}/{split}img and {split}imgr, framed in white."""

from dataclasses import replace
from pathlib import Path

from refract.layouts.frame_numbers import LONGEST, number_sequences
from refract.layouts.pairing import in_split, pair_folders
from refract.layouts.raw_item import RawItem
from refract.triptych_layouts import need_folder
from refract.triptych_manifest import SPLIT_NAMES

LAYOUT = "{train,val,test}/{split}img and {split}imgr, as train/trainimg and train/trainimgr"
WHITE_BORDER_PX = 100


def import_dronevehicle(root: Path) -> list[RawItem]:
    """DroneVehicle with its own three splits; the white border of its pictures is cropped.

    File names repeat between the splits, so an id is <split>_<name>. Within each split a sequence
    is a stretch of numbers.
    """
    items: list[RawItem] = []
    for split in SPLIT_NAMES:
        folder = need_folder(root, split, frozenset({split}), LAYOUT)
        visible = need_folder(folder, "visible", frozenset({f"{split}img"}), LAYOUT)
        infrared = need_folder(folder, "infrared", frozenset({f"{split}imgr"}), LAYOUT)
        items += in_split(pair_folders(visible, infrared), split)
    named = [
        replace(item, id=f"{item.split}_{item.id}", white_border_px=WHITE_BORDER_PX)
        for item in items
    ]
    return number_sequences(named, longest=LONGEST)
