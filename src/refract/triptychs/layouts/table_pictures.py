"""The file behind a cell of a table, also where the cell holds the picture itself."""

import hashlib
import os
from pathlib import Path
from typing import Any

from refract.base.errors import InputError, shorten
from refract.base.item_names import check_item_name
from refract.pipeline.item_store import ItemStore, state_root


def picture_of(cell: Any, folder: Path, place: str) -> Path | None:
    """The file of a cell: a name relative to `folder`, bytes, or {bytes, path}; None if empty.

    Bytes are laid down in the item store, once a content. `place` names the cell in an error.

    Raises InputError for a name without a file and for a cell of another kind.
    """
    if isinstance(cell, dict):
        name, data = cell.get("path"), cell.get("bytes")
        if not isinstance(name, str | None) or not isinstance(data, bytes | None):
            raise InputError(
                f"{place} = {shorten(cell)}: expected the bytes of a picture, and a file name"
            )
        if not data:
            return _named(name, folder, place)
        return _laid_down(data, check_item_name(Path(name or "picture").name, place))
    if isinstance(cell, bytes):
        return _laid_down(cell, "picture") if cell else None
    if cell is None or isinstance(cell, str):
        return _named(cell, folder, place)
    raise InputError(f"{place} = {shorten(cell)}: expected a file name or an encoded picture")


def _named(name: str | None, folder: Path, place: str) -> Path | None:
    if not name:
        return None
    path = folder / name
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise InputError(f"{place} = {shorten(name)}: no such file in {folder}")
    return path


def _laid_down(data: bytes, name: str) -> Path:
    store = ItemStore(state_root(), "table_pictures")
    digest = hashlib.sha256(data).hexdigest()
    key = store.key(params={"name": name}, inputs={"picture": digest}, code=[])
    return store.get_or_make(key, lambda folder: (folder / name).write_bytes(data)) / name
