"""Layout `generic`: two or three folders of same-named files."""

from pathlib import Path

from refract.layouts.metadata import METADATA_NAME, apply_metadata
from refract.layouts.pairing import same_named
from refract.layouts.raw_item import RawItem
from refract.triptych_layouts import ALIASES

LAYOUT = "folders of same-named files: visible, infrared and, where there are maps, semantic"


def import_generic(root: Path) -> list[RawItem]:
    """`ALIASES` gives the folder names, in any case; `metadata.csv` may add what is known."""
    return apply_metadata(same_named(root, ALIASES, LAYOUT), root / METADATA_NAME)
