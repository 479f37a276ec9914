"""Scenes of a triptych split and the infrared pictures a run made of them, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.base.on_demand import OnDemand
from refract.media.image_reading import Infrared, read_infrared, read_rgb
from refract.media.panel_pixels import to_eight_bits
from refract.triptychs.panels.manifest import TriptychRow, read_manifest
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


def has_truth(row: TriptychRow) -> bool:
    """Whether the data set holds a true infrared picture of this row."""
    return row.infrared != ""


def load_scenes(folder: Path, split: str) -> Sequence[TrueScene]:
    """The scenes of a split that have a true infrared picture, sorted by id; maybe none.

    Each is read when it is asked for: a split may be larger than the memory.
    """
    rows = [row for row in read_manifest(folder) if row.split == split and has_truth(row)]
    return OnDemand(len(rows), lambda place: load_scene(rows[place], folder))


def load_scene(row: TriptychRow, folder: Path) -> TrueScene:
    """The panels of a row; without a true picture `infrared` is black."""
    path = row.path(folder)
    panels = split_triptych(read_rgb(path), name=str(path))
    return TrueScene(row.id, row.daytime, panels.visible, panels.infrared[..., 0], panels.semantic)


def predictions(folder: Path, scenes: Sequence[TrueScene]) -> Sequence[Gray]:
    """As `load_prediction`, each read when it is asked for; whether all are there is seen now."""
    for scene in scenes:
        _path(folder, scene)
    return OnDemand(len(scenes), lambda place: load_prediction(folder, scenes[place]))


def load_prediction(folder: Path, scene: TrueScene) -> Gray:
    """`<folder>/<id>.png` at the truth's 8 bits.

    Raises InputError: there is no such picture, or it is of another shape than the truth.
    """
    path = _path(folder, scene)
    pixels = _eight_bits(read_infrared(path))
    if pixels.shape != scene.infrared.shape:
        height, width = scene.infrared.shape
        raise InputError(
            f"{path}: {pixels.shape[1]} x {pixels.shape[0]}, must be {width} x {height} like the "
            "true picture"
        )
    return pixels


def _path(folder: Path, scene: TrueScene) -> Path:
    path = folder / f"{scene.id}.png"
    if not path.is_file():
        raise InputError(f"{path}: missing; infer_ir must write one picture a test scene")
    return path


def _eight_bits(picture: Infrared) -> Gray:
    """Pictures of infer_ir.bits = 16 span 0..65535, as those of 8 span 0..255; never stretched."""
    if picture.pixels.dtype == np.uint16:
        return to_eight_bits(np.asarray(picture.pixels, np.uint16), 0, 65535)
    return np.asarray(picture.pixels, np.uint8)
