"""From a raw data set to a folder of triptychs with manifest, split and a note on what was done."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from refract.base.atomic import replace_directory
from refract.base.errors import InputError
from refract.base.files import write_info
from refract.params.prepare_triptychs import PrepareTriptychs
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, materialise, state_root
from refract.triptychs.layouts.pairing import RawItem
from refract.triptychs.layouts.registry import import_items
from refract.triptychs.panels.manifest import TriptychRow, content_hash, write_manifest
from refract.triptychs.panels.semantic_maps import MAP_MODEL, MapModel, Photo, map_model, model_maps
from refract.triptychs.preparing.infrared_levels import LowHigh, scaling_note, sixteen_bit_range
from refract.triptychs.preparing.panels import BORDER, KIND, build_triptych, notes_of
from refract.triptychs.preparing.split import assign_splits, check_leaks, hold_out_val

logger = logging.getLogger(__name__)


def prepare_triptychs(settings: PrepareTriptychs, seed: int, output: Path) -> None:
    """Fill `output` with <split>/<id>.png, manifest.csv and info.json.

    Raises InputError for a data set that is not in shape; `output` is then left as it was.
    """
    items = import_items(settings.layout, Path(settings.source))
    if settings.semantic.source == "provided":
        _require_maps(items, settings)
    else:
        items = [replace(item, semantic=None, palette=None) for item in items]
    model = _map_model(settings)
    splits = _splits(items, settings, seed)
    low_high = sixteen_bit_range(item.infrared for item in items)
    maps: Sequence[Path | None] = [item.semantic for item in items]
    if model is not None:
        maps = model_maps([Photo(item.visible, item.white_border_px) for item in items], model)
    sources = {
        item.id: _sources(item, semantic) for item, semantic in zip(items, maps, strict=True)
    }
    hashes = {
        name: {kind: hash_file(path) for kind, path in paths.items()}
        for name, paths in sources.items()
    }
    rows = [_row(item, splits[item.id], settings) for item in items]
    store = ItemStore(state_root(), "prepare_triptychs")
    code = closure("refract.triptychs.preparing.building")
    notes = []
    with replace_directory(output) as folder:
        for item in tqdm(items, desc="triptychs", unit="triptych", mininterval=1):
            slot = _slot(item, settings, low_high, sources[item.id], hashes[item.id], store, code)
            materialise(slot, folder / splits[item.id])
            notes.append(notes_of(slot / f"{item.id}.png"))
        write_manifest(rows, folder)
        info = _info(settings, items, notes, low_high, model) | {
            "counts": dict(Counter(splits.values())),
            "content_hash": content_hash(rows, hashes),
        }
        write_info(info, folder)
    _report(settings, info, store)


def _report(settings: PrepareTriptychs, info: Mapping[str, Any], store: ItemStore) -> None:
    counts: Mapping[str, int] = info["counts"]
    logger.info(
        "%s: %d triptychs (%s), %d from the store, %d built; infrared %s; semantic %s; content %s",
        settings.source,
        sum(counts.values()),
        ", ".join(f"{split} {count}" for split, count in sorted(counts.items())),
        store.hits,
        store.computed,
        info["infrared_files"],
        info["semantic_source"],
        info["content_hash"][:12],
    )
    coloured = sum(n for kind, n in info["infrared_files"].items() if kind.endswith("colour"))
    if coloured:
        logger.warning(
            "%d infrared pictures are in false colour; their luma was taken, which is no "
            "temperature scale",
            coloured,
        )
    borders: Mapping[str, int] = info.get("white_border", {})
    if set(borders) - {"cropped"}:
        logger.warning(
            "the pictures of this layout have a white border, but not all here do: %s", borders
        )


def _require_maps(items: Sequence[RawItem], settings: PrepareTriptychs) -> None:
    lacking = next((item for item in items if item.semantic is None), None)
    if lacking is not None:
        raise InputError(
            f"{settings.source}: no semantic map of {lacking.id} (layout {settings.layout}); add "
            "the maps, or set prepare_triptychs.semantic.source: none (or model, with "
            "prepare_triptychs.semantic.model)"
        )


def _map_model(settings: PrepareTriptychs) -> MapModel | None:
    """The segmenter that makes the maps, where one does."""
    semantic = settings.semantic
    if semantic.source != "model" or semantic.model is None:
        return None
    return map_model(semantic.model, semantic.revision)


def _splits(items: Sequence[RawItem], settings: PrepareTriptychs, seed: int) -> dict[str, str]:
    """The data set's own split where it has one, else a seeded one; never across a sequence.

    Where its own split has no val, whole sequences of train become val.
    """
    shares = settings.split.model_dump()
    given = {item.id: (item.sequence, item.split) for item in items if item.split is not None}
    if given:
        check_leaks(given)
        return hold_out_val(given, shares, seed)
    by_sequence = assign_splits([item.sequence for item in items], shares, seed)
    return {item.id: by_sequence[item.sequence] for item in items}


def _sources(item: RawItem, semantic: Path | None) -> dict[str, Path]:
    """The files a triptych is made of, by kind."""
    paths = {"visible": item.visible, "infrared": item.infrared}
    return paths if semantic is None else paths | {"semantic": semantic}


def _slot(
    item: RawItem,
    settings: PrepareTriptychs,
    low_high: LowHigh | None,
    paths: Mapping[str, Path],
    hashes: Mapping[str, str],
    store: ItemStore,
    code: list[Path],
) -> Path:
    key = store.key(
        params={
            "id": item.id,
            "panel_px": settings.panel_px,
            "range": low_high,
            "palette": item.palette and item.palette.as_dict(),
            "white_border_px": item.white_border_px,
        },
        inputs=hashes,
        code=code,
    )

    def write(folder: Path) -> None:
        pixels, notes = build_triptych(
            paths,
            settings.panel_px,
            low_high,
            palette=item.palette,
            white_border_px=item.white_border_px,
        )
        Image.fromarray(pixels).save(folder / f"{item.id}.png", pnginfo=notes)

    return store.get_or_make(key, write)


def _row(item: RawItem, split: str, settings: PrepareTriptychs) -> TriptychRow:
    return TriptychRow(
        id=item.id,
        split=split,
        visible=item.visible.name,
        infrared=item.infrared.name,
        semantic=item.semantic.name if item.semantic else "",
        caption=item.caption or settings.prompt,
        daytime=item.daytime,
        sequence=item.sequence,
    )


def _info(
    settings: PrepareTriptychs,
    items: Sequence[RawItem],
    notes: Sequence[Mapping[str, str]],
    low_high: LowHigh | None,
    model: MapModel | None,
) -> dict[str, Any]:
    """What was done to the pictures. `notes`: those of each triptych."""
    info: dict[str, Any] = {
        "layout": settings.layout,
        "panel_px": settings.panel_px,
        "resize": "centre crop to the short side, Lanczos (semantic map: nearest neighbour)",
        "semantic_source": settings.semantic.source if model is None else f"model {model}",
        "infrared_files": dict(Counter(note[KIND] for note in notes)),
        "infrared_scaling": scaling_note(low_high),
        "infrared_16_bit_range": low_high,
    }
    if model is not None:
        info[MAP_MODEL] = model._asdict()
    palette = next((item.palette for item in items if item.palette), None)
    if palette is not None:
        info["semantic_palette"] = palette.as_dict()
    borders = Counter(note[BORDER] for note in notes if BORDER in note)
    if borders:
        info["white_border"] = dict(borders)
    return info
