"""Layout `m3fd`: Vis and Ir (or vi and ir), without a split of its own."""

from pathlib import Path

from refract.layouts.frame_numbers import LONGEST, number_sequences
from refract.layouts.metadata import METADATA_NAME, apply_metadata
from refract.layouts.pairing import same_named
from refract.layouts.raw_item import RawItem
from refract.triptych_layouts import ALIASES

LAYOUT = "{Vis,Ir}/00000.png or {vi,ir}/00000.png"


def import_m3fd(root: Path) -> list[RawItem]:
    """M3FD: same-named pictures, numbered through over all drives.

    The data set does not say which frames are of one video, so a sequence is a stretch of frame
    numbers (`number_sequences`). Who knows better puts the column sequence into `metadata.csv`.
    """
    items = number_sequences(same_named(root, ALIASES, LAYOUT), longest=LONGEST)
    return apply_metadata(items, root / METADATA_NAME)
