"""Layout `roadscene`: crop_LR_visible and cropinfrared, frames of driving videos."""

from pathlib import Path

from refract.layouts.frame_numbers import number_sequences
from refract.layouts.pairing import same_named
from refract.layouts.raw_item import RawItem
from refract.triptych_layouts import ALIASES

LAYOUT = "crop_LR_visible/*.jpg and cropinfrared/*.jpg"

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
    return number_sequences(same_named(root, _NAMES, LAYOUT))
