"""Scenes of a triptych split and the infrared pictures a run made of them, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.base.on_demand import OnDemand
from refract.evaluation.infrared.picture_files import picture_path, true_rows
from refract.media.image_reading import Infrared, read_infrared, read_rgb
from refract.media.panel_pixels import to_eight_bits
from refract.triptychs.panels.manifest import TriptychRow
from refract.triptychs.panels.triptych import split_triptych

Gray = NDArray[np.uint8]  # [H, W]


@dataclass(frozen=True)
class TrueScene:
    """visible `[P, P, 3]`, infrared `[P, P]` (the truth) and semantic `[P, P, 3]`, all 8-bit."""

    id: str
    daytime: str  # day | night | unknown
    visible: NDArray[np.uint8]
    infrared: Gray
    semantic: NDArray[np.uint8]


def load_scenes(folder: Path, split: str) -> Sequence[TrueScene]:
    """The scenes of a split that have a true infrared picture, sorted by id; maybe none.

    Each is read when it is asked for: a split may be larger than the memory.
    """
    rows = true_rows(folder, split)
    return OnDemand(len(rows), lambda place: load_scene(rows[place], folder))


def load_scene(row: TriptychRow, folder: Path) -> TrueScene:
    """The panels of a row; without a true picture `infrared` is black."""
    path = row.path(folder)
    panels = split_triptych(read_rgb(path), name=str(path))
    return TrueScene(row.id, row.daytime, panels.visible, panels.infrared[..., 0], panels.semantic)


def predictions(folder: Path, scenes: Sequence[TrueScene]) -> Sequence[Gray]:
    """As `load_prediction`, each read when it is asked for."""
    return OnDemand(len(scenes), lambda place: load_prediction(folder, scenes[place]))


def load_prediction(folder: Path, scene: TrueScene) -> Gray:
    """`<folder>/<id>.png` at the truth's 8 bits.

    Raises InputError: there is no such picture, or it is of another shape than the truth.
    """
    path = picture_path(folder, scene.id)
    pixels = _eight_bits(read_infrared(path))
    if pixels.shape != scene.infrared.shape:
        height, width = scene.infrared.shape
        raise InputError(
            f"{path}: {pixels.shape[1]} x {pixels.shape[0]}, must be {width} x {height} like the "
            "true picture"
        )
    return pixels


def _eight_bits(picture: Infrared) -> Gray:
    """Pictures of infer_ir.bits = 16 span 0..65535, as those of 8 span 0..255; never stretched."""
    if picture.pixels.dtype == np.uint16:
        return to_eight_bits(np.asarray(picture.pixels, np.uint16), 0, 65535)
    return np.asarray(picture.pixels, np.uint8)
