"""The infrared half of the page: panels, scores and attention overlays, a scene at a time."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from refract.evaluation.infrared.picture_files import has_truth, picture_path
from refract.evaluation.variants import CONTROLS, RUN
from refract.media.image_sheets import Picture, error_picture, spread
from refract.report.media import MediaFolder
from refract.report.tables import ItemScores
from refract.triptychs.panels.manifest import MANIFEST_NAME, TriptychRow, read_manifest

MOST_SCENES = 96  # beyond them the page grows heavy; the tables hold every scene
OWN_PICTURES = "input"  # infer_ir's folder for pictures that a user gave


def infrared_scenes(
    triptychs: Path, infrared: Path, scores: ItemScores, media: MediaFolder
) -> dict[str, Any]:
    """`scenes` for the viewer and `total`, how many the test split has; {} where a half is absent.

    Raises InputError: a listed picture is missing, unreadable or of the wrong shape.
    """
    if not (triptychs / MANIFEST_NAME).is_file() or not (infrared / RUN).is_dir():
        return {}
    rows = [row for row in read_manifest(triptychs) if row.split == "test"]
    chosen = [rows[place] for place in spread(len(rows), MOST_SCENES)] if rows else []
    scenes = [_scene(row, triptychs, infrared, scores, media) for row in chosen]
    return {"scenes": scenes, "total": len(rows)}


def own_pictures(infrared: Path, media: MediaFolder) -> list[tuple[str, str]]:
    """(name, picture) of the infrared pictures made of a user's own folder; maybe none."""
    paths = sorted((infrared / OWN_PICTURES).glob("*.png"))
    return [(path.stem, media.picture(path, 512)) for path in paths[:MOST_SCENES]]


def _scene(
    row: TriptychRow, triptychs: Path, infrared: Path, scores: ItemScores, media: MediaFolder
) -> dict[str, Any]:
    files = {"triptych": row.path(triptychs)}
    for variant in (RUN, *CONTROLS):
        if (infrared / variant).is_dir():
            files[variant] = picture_path(infrared / variant, row.id)
    truth = has_truth(row)
    draw = partial(_panels, row, triptychs, infrared, list(files)[1:], truth)
    return {
        "id": row.id,
        "daytime": row.daytime,
        "caption": row.caption,
        "images": media.pictures(files, draw, __name__, truth=truth),
        "scores": scores.of_item(row.id),
        "attention": attention_overlays(infrared, row.id, media),
    }


def _panels(
    row: TriptychRow, triptychs: Path, infrared: Path, variants: Sequence[str], truth: bool
) -> dict[str, Picture]:
    from refract.evaluation.infrared.scenes import load_prediction, load_scene  # torch

    scene = load_scene(row, triptychs)
    made = {variant: load_prediction(infrared / variant, scene) for variant in variants}
    shown = {"visible": scene.visible, "semantic": scene.semantic, **made}
    if truth:
        shown |= {"truth": scene.infrared, "error": error_picture(made[RUN], scene.infrared)}
    return shown


FOLDER = "attention_maps"
MOST_PX = 512
_NAME = re.compile(r"layer(\d+)_head(\d+)_step(\d+)_region(\d+)\.png")

Overlay = dict[str, Any]


def attention_overlays(infrared: Path, scene: str, media: MediaFolder) -> list[Overlay]:
    """Layer, head, step, region (all from 0) and picture, in that order; maybe none."""
    folder = infrared / FOLDER / scene
    if not folder.is_dir():
        return []
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    overlays = sorted(
        (tuple(int(number) for number in match.groups()), path) for match, path in matches if match
    )
    names = ("layer", "head", "step", "region")
    return [
        dict(zip(names, numbers, strict=True)) | {"image": media.picture(path, MOST_PX)}
        for numbers, path in overlays
    ]
