"""The overlays that infer_ir may leave of where regions of the infrared picture look."""

import re
from pathlib import Path
from typing import Any

from refract.report.media import MediaFolder

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
    found = sorted(
        (tuple(int(number) for number in match.groups()), path) for match, path in matches if match
    )
    names = ("layer", "head", "step", "region")
    return [
        dict(zip(names, numbers, strict=True)) | {"image": media.picture_file(path, MOST_PX)}
        for numbers, path in found
    ]
