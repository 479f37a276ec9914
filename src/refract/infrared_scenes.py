"""Scenes of a triptych split and the infrared pictures a run made of them, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refract.errors import InputError
from refract.image_reading import read_infrared, read_rgb
from refract.triptych import split_triptych
from refract.triptych_manifest import TriptychRow, read_manifest

Gray = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """visible `[P, P, 3]`, infrared `[P, P]` (the truth) and semantic `[P, P, 3]`, all 8-bit."""

    id: str
    daytime: str  # day | night | unknown
    visible: NDArray[np.uint8]
    infrared: Gray
    semantic: NDArray[np.uint8]


def has_truth(row: TriptychRow) -> bool:
    """Whether the data set holds a true infrared picture of this row."""
    return row.infrared != ""


def load_scenes(folder: Path, split: str) -> list[Scene]:
    """The scenes of a split that have a true infrared picture, sorted by id; maybe none."""
    rows = [row for row in read_manifest(folder) if row.split == split and has_truth(row)]
    return [_load_scene(row, folder) for row in rows]


def _load_scene(row: TriptychRow, folder: Path) -> Scene:
    path = row.path(folder)
    panels = split_triptych(read_rgb(path), name=str(path))
    return Scene(row.id, row.daytime, panels.visible, panels.infrared[..., 0], panels.semantic)


def load_predictions(folder: Path, scenes: Sequence[Scene]) -> list[Gray]:
    """`<folder>/<id>.png` for every scene, in order.

    Raises:
        InputError: a scene without a picture, or one of another shape than its truth.
    """
    pictures = []
    for scene in scenes:
        path = folder / f"{scene.id}.png"
        if not path.is_file():
            raise InputError(f"{path}: missing; infer_ir must write one picture a test scene")
        pixels = read_infrared(path).pixels
        if pixels.dtype != np.uint8 or pixels.shape != scene.infrared.shape:
            height, width = scene.infrared.shape
            raise InputError(
                f"{path}: {pixels.shape[1]} x {pixels.shape[0]} {pixels.dtype}, must be "
                f"{width} x {height} uint8 like the true picture"
            )
        pictures.append(np.asarray(pixels, np.uint8))
    return pictures
