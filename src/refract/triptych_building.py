"""From a raw data set to a folder of triptychs with manifest, split and a note on what was done."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from tqdm import tqdm

from refract.atomic import replace_directory
from refract.errors import InputError
from refract.image_reading import open_upright, read_infrared, read_rgb, read_semantic
from refract.import_closure import closure
from refract.item_store import ItemStore, hash_file, materialise, state_root
from refract.panel_pixels import percentile_range, same_aspect, square_panel, to_eight_bits
from refract.params.prepare_triptychs import PrepareTriptychs
from refract.triptych import join_triptych
from refract.triptych_layouts import RawItem, import_items
from refract.triptych_manifest import TriptychRow, write_manifest
from refract.triptych_split import assign_splits, check_leaks

logger = logging.getLogger(__name__)

INFO_NAME = "info.json"
_KIND = "infrared"  # PNG text field: what the infrared file held


def prepare_triptychs(settings: PrepareTriptychs, seed: int, output: Path) -> None:
    """Fill `output` with <split>/<id>.png, manifest.csv and info.json.

    Raises InputError for a data set that is not in shape; `output` is then left as it was.
    """
    items = import_items(settings.layout, Path(settings.source))
    if settings.semantic.source == "provided":
        _require_maps(items, settings)
    splits = _splits(items, settings, seed)
    low_high = _sixteen_bit_range(items)
    store = ItemStore(state_root(), "prepare_triptychs")
    code = closure("refract.triptych_building")
    kinds: Counter[str] = Counter()
    with replace_directory(output) as folder:
        for item in tqdm(items, desc="triptychs", unit="triptych", mininterval=1):
            slot = _slot(item, settings, low_high, store, code)
            materialise(slot, folder / splits[item.id])
            kinds[_kind_of(slot / f"{item.id}.png")] += 1
        write_manifest([_row(item, splits[item.id], settings) for item in items], folder)
        counts = Counter(splits.values())
        info = _info(settings, counts, kinds, low_high)
        (folder / INFO_NAME).write_text(json.dumps(info, indent=2, sort_keys=True) + "\n")
    logger.info(
        "%s: %d triptychs (%s), %d from the store, %d built; infrared %s; semantic %s",
        settings.source,
        len(items),
        ", ".join(f"{split} {count}" for split, count in sorted(counts.items())),
        store.hits,
        store.computed,
        dict(kinds),
        settings.semantic.source,
    )
    if kinds["colour"]:
        logger.warning(
            "%d infrared pictures are in false colour; their luma was taken, which is no "
            "temperature scale",
            kinds["colour"],
        )


def _require_maps(items: Sequence[RawItem], settings: PrepareTriptychs) -> None:
    if any(item.semantic is None for item in items):
        raise InputError(
            f"{settings.source}: no folder of semantic maps; add one, or set "
            "prepare_triptychs.semantic.source: none"
        )


def _splits(items: Sequence[RawItem], settings: PrepareTriptychs, seed: int) -> dict[str, str]:
    """The data set's own split where it has one, else a seeded one; never across a sequence."""
    own = {item.id: (item.sequence, item.split) for item in items if item.split is not None}
    if own:
        check_leaks(own)
        return {item: split for item, (_, split) in own.items()}
    by_sequence = assign_splits(
        [item.sequence for item in items], settings.split.model_dump(), seed
    )
    return {item.id: by_sequence[item.sequence] for item in items}


def _sixteen_bit_range(items: Sequence[RawItem]) -> tuple[int, int] | None:
    """One value range for all 16-bit infrared files of the data set, None where there are none."""
    counts = np.zeros(65536, np.int64)
    for item in items:
        if _mode(item.infrared).startswith("I"):
            pixels = read_infrared(item.infrared).pixels
            counts += np.bincount(pixels.ravel(), minlength=65536)
    return percentile_range(counts) if counts.any() else None


def _mode(path: Path) -> str:
    """Pixel format from the header alone."""
    try:
        with Image.open(path) as image:
            return image.mode
    except OSError:
        return open_upright(path).mode  # raises the error in words


def _slot(
    item: RawItem,
    settings: PrepareTriptychs,
    low_high: tuple[int, int] | None,
    store: ItemStore,
    code: list[Path],
) -> Path:
    paths = {"visible": item.visible, "infrared": item.infrared}
    if settings.semantic.source == "provided" and item.semantic is not None:
        paths["semantic"] = item.semantic
    key = store.key(
        params={"id": item.id, "panel_px": settings.panel_px, "range": low_high},
        inputs={kind: hash_file(path) for kind, path in paths.items()},
        code=code,
    )
    slot = store.get(key)
    if slot is None:
        pixels, kind = _build(paths, settings.panel_px, low_high)
        note = PngImagePlugin.PngInfo()
        note.add_text(_KIND, kind)
        with store.create(key) as folder:
            Image.fromarray(pixels).save(folder / f"{item.id}.png", pnginfo=note)
        slot = store.folder / key
    return slot


def _build(
    paths: dict[str, Path], panel_px: int, low_high: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], str]:
    """One triptych [P, 3P, 3] and what its infrared file held."""
    visible = read_rgb(paths["visible"])
    infrared, kind = read_infrared(paths["infrared"])
    semantic = read_semantic(paths["semantic"]) if "semantic" in paths else np.zeros_like(visible)
    for name, panel in (("infrared", infrared), ("semantic", semantic)):
        if not same_aspect(visible.shape, panel.shape):
            raise InputError(
                f"{paths[name]}: {panel.shape[1]} x {panel.shape[0]} pixels, its visible picture "
                f"has {visible.shape[1]} x {visible.shape[0]}: expected the same field of view"
            )
    if infrared.dtype == np.uint16:
        assert low_high is not None  # the range was taken over all 16-bit files
        levels = to_eight_bits(infrared.astype(np.uint16), *low_high)
    else:
        levels = infrared.astype(np.uint8)
    return (
        join_triptych(
            square_panel(visible, panel_px),
            square_panel(levels, panel_px),
            square_panel(semantic, panel_px, labels=True),
        ),
        kind,
    )


def _kind_of(path: Path) -> str:
    with Image.open(path) as image:
        return str(image.info[_KIND])


def _row(item: RawItem, split: str, settings: PrepareTriptychs) -> TriptychRow:
    with_map = settings.semantic.source == "provided" and item.semantic is not None
    return TriptychRow(
        id=item.id,
        split=split,
        visible=item.visible.name,
        infrared=item.infrared.name,
        semantic=item.semantic.name if with_map and item.semantic is not None else "",
        caption=item.caption or settings.prompt,
        daytime=item.daytime,
        sequence=item.sequence,
    )


def _info(
    settings: PrepareTriptychs,
    counts: Counter[str],
    kinds: Counter[str],
    low_high: tuple[int, int] | None,
) -> dict[str, Any]:
    return {
        "layout": settings.layout,
        "panel_px": settings.panel_px,
        "resize": "centre crop to the short side, Lanczos (semantic map: nearest neighbour)",
        "semantic_source": settings.semantic.source,
        "counts": dict(counts),
        "infrared_files": dict(kinds),
        "infrared_16_bit_range": low_high,
    }
