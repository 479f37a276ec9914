"""The files that the infrared half is measured on, by their digests; none is decoded."""

from pathlib import Path

from refract.base.errors import InputError
from refract.base.files import INFO_NAME
from refract.evaluation.variants import CONTROLS, RUN
from refract.pipeline.item_store import hash_file
from refract.triptychs.panels.manifest import MANIFEST_NAME, TriptychRow, read_manifest


def has_truth(row: TriptychRow) -> bool:
    """Whether the data set holds a true infrared picture of this row."""
    return row.infrared != ""


def true_rows(triptychs: Path, split: str) -> list[TriptychRow]:
    """The rows of a split that have a true infrared picture, sorted by id; maybe none."""
    return [row for row in read_manifest(triptychs) if row.split == split and has_truth(row)]


def digests(triptychs: Path, infrared: Path) -> dict[str, str]:
    """sha256 of manifest, data set facts, triptychs of training and test, and pictures made.

    Raises InputError: a picture of the run or of a control is missing.
    """
    train, test = (true_rows(triptychs, split) for split in ("train", "test"))
    files = {MANIFEST_NAME: triptychs / MANIFEST_NAME}
    if (triptychs / INFO_NAME).is_file():
        files[INFO_NAME] = triptychs / INFO_NAME
    files |= {f"{row.split}/{row.id}": row.path(triptychs) for row in (*train, *test)}
    for variant in (RUN, *(name for name in CONTROLS if (infrared / name).is_dir())):
        files |= {f"{variant}/{row.id}": picture_path(infrared / variant, row.id) for row in test}
    return {name: hash_file(path) for name, path in files.items()}


def picture_path(folder: Path, scene: str) -> Path:
    """Where a run's picture of a scene lies; InputError where it does not."""
    path = folder / f"{scene}.png"
    if not path.is_file():
        raise InputError(f"{path}: missing; infer_ir must write one picture a test scene")
    return path
