"""The layouts by name: data sets as they lie on disk, as a list of raw items."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

from refract.base.errors import InputError
from refract.base.item_names import check_item_names
from refract.triptychs.layouts.flir import import_flir
from refract.triptychs.layouts.kaist import import_kaist
from refract.triptychs.layouts.llvip import import_llvip
from refract.triptychs.layouts.msrs import import_msrs
from refract.triptychs.layouts.pairing import RawItem
from refract.triptychs.layouts.same_named import (
    import_dronevehicle,
    import_generic,
    import_m3fd,
    import_roadscene,
)
from refract.triptychs.layouts.table import import_table

LAYOUTS: Mapping[str, Callable[[Path], list[RawItem]]] = {
    "generic": import_generic,
    "msrs": import_msrs,
    "llvip": import_llvip,
    "m3fd": import_m3fd,
    "flir": import_flir,
    "kaist": import_kaist,
    "roadscene": import_roadscene,
    "dronevehicle": import_dronevehicle,
    "table": import_table,
}
_FILE_LAYOUTS = frozenset({"table"})  # the source may be a file


def import_items(layout: str, root: Path) -> list[RawItem]:
    """All items of the data set at `root`, sorted by id; InputError where it is not in shape."""
    if not root.is_dir() and not (layout in _FILE_LAYOUTS and root.is_file()):
        raise InputError(f"{root}: no such folder (prepare_triptychs.source)")
    items = sorted(LAYOUTS[layout](root), key=lambda item: item.id)
    check_item_names([item.id for item in items], root)
    for before, item in pairwise(items):
        if before.id == item.id:
            raise InputError(
                f"{item.visible}: the id {item.id} is already that of {before.visible}"
            )
    return items
