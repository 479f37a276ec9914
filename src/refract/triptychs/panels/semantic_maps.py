"""Semantic maps that a panoptic segmenter makes of photos, each an item of the store."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from refract.base.errors import InputError, shorten
from refract.media.image_reading import read_rgb
from refract.media.panel_pixels import crop_border, has_white_border
from refract.models.identity import model_identity
from refract.pipeline.device import free_memory, pick_device
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, state_root

if TYPE_CHECKING:
    from refract.models.segmenter import PanopticSegmenter

logger = logging.getLogger(__name__)

MAP_MODEL = "semantic_model"  # in a data set's info.json: the fields of the MapModel, if one is
_FILE_NAME = "map.png"


class MapModel(NamedTuple):
    """A segmenter by folder or hub id, and what its weights are known by."""

    path: str
    revision: str | None
    identity: str

    def __str__(self) -> str:
        return f"{self.path} ({self.identity})"


class Photo(NamedTuple):
    """A visible picture; `white_border_px`: width of the white margin it may have."""

    path: Path
    white_border_px: int = 0


def map_model(path: str, revision: str | None) -> MapModel:
    """The segmenter with its identity; InputError where `path` is neither folder nor hub id."""
    try:
        return MapModel(path, revision, model_identity(path, revision))
    except InputError as error:
        raise InputError(
            f"prepare_triptychs.semantic.model = {shorten(path)}: no such folder; give a folder "
            "with a Mask2Former or OneFormer of transformers, or a hub id such as owner/name"
        ) from error


def model_maps(photos: Sequence[Photo], model: MapModel) -> list[Path]:
    """The colour map file of each photo, of the photo's field of view.

    Only what the item store lacks is computed; the model loads only where something is.
    """
    store = ItemStore(state_root(), "semantic_maps")
    code = closure("refract.triptychs.panels.semantic_maps")
    keys = [_key(photo, model, store, code) for photo in photos]
    missing = {
        key: photo for key, photo in zip(keys, photos, strict=True) if store.get(key) is None
    }
    if missing:
        _compute(missing, model, store)
    logger.info("semantic maps of %s: %d photos, %d computed", model, len(photos), store.computed)
    return [store.folder / key / _FILE_NAME for key in keys]


def _key(photo: Photo, model: MapModel, store: ItemStore, code: Sequence[Path]) -> str:
    return store.key(
        params={"white_border_px": photo.white_border_px},
        inputs={"photo": hash_file(photo.path)},
        code=code,
        model=model.identity,
    )


def _compute(missing: Mapping[str, Photo], model: MapModel, store: ItemStore) -> None:
    from refract.models.segmenter import load_segmenter  # torch, only where it is needed

    device = pick_device()
    logger.info("segmenting %d photos on %s with %s", len(missing), device, model)
    segmenter = load_segmenter(model.path, model.revision, device)
    for key, photo in tqdm(missing.items(), desc="semantic maps", unit="photo", mininterval=1):
        pixels = _draw(segmenter, photo)
        with store.create(key) as slot:
            Image.fromarray(pixels).save(slot / _FILE_NAME)
    del segmenter
    free_memory()


def _draw(segmenter: "PanopticSegmenter", photo: Photo) -> NDArray[np.uint8]:
    """The map of the picture within its white margin, which is no part of the scene."""
    pixels, border_px = read_rgb(photo.path), photo.white_border_px
    if not (border_px and has_white_border(pixels, border_px)):
        return segmenter.colour_map(pixels)
    inner = segmenter.colour_map(crop_border(pixels, border_px))
    return np.pad(inner, ((border_px, border_px), (border_px, border_px), (0, 0)))
