"""Which pictures go on the evaluation's image sheets, and where."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from refract.evaluation.variants import PLAIN, RESULT, RUN, SOURCE
from refract.media.image_sheets import Picture, draw_sheet, error_picture, spread
from refract.media.video_io import read_frames
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file

if TYPE_CHECKING:
    from refract.evaluation.edits.case_files import CaseFiles
    from refract.evaluation.infrared.evaluation import InfraredEvaluation

LEAST_CELL_PX = 96  # below it a label does not fit its column
MOST_CELL_PX = 256
_PICTURE = "picture.png"
INFRARED_TITLES = ("visible", "semantic", "truth", "output", "error", "wrong map")


def _cell(picture: Picture) -> tuple[int, int]:
    """Cell (width, height) for pictures of this shape, aspect kept."""
    height, width = picture.shape[:2]
    scale = float(np.clip(1.0, LEAST_CELL_PX / width, MOST_CELL_PX / width))
    return round(width * scale), round(height * scale)


def draw_infrared_sheet(result: "InfraredEvaluation", items: int, path: Path) -> None:
    """visible | semantic | truth | output | error | output under a wrong map, a scene a row.

    Day and night share the rows evenly.
    """
    order = sorted(range(len(result.scenes)), key=lambda i: result.scenes[i].daytime)
    wrong = result.pictures.get("shuffled_map")
    rows: list[tuple[str, Sequence[Picture]]] = []
    for index in (order[place] for place in spread(len(order), items)):
        scene, made = result.scenes[index], result.pictures[RUN][index]
        cells = [scene.visible, scene.semantic, scene.infrared, made]
        cells.append(error_picture(made, scene.infrared))
        if wrong is not None:
            cells.append(wrong[index])
        psnr = result.scores[RUN]["psnr"][index]
        rows.append((f"{scene.id} ({scene.daytime})  {psnr:.1f} dB", cells))
    titles = INFRARED_TITLES if wrong is not None else INFRARED_TITLES[:-1]
    draw_sheet(titles, rows, cell=_cell(result.scenes[0].visible), path=path)


def edit_row(files: "CaseFiles", label: str, store: ItemStore) -> tuple[str, list[Picture]]:
    """First, middle and last frame of source, plain and reference edit, then the product photo."""
    cells: list[Picture] = []
    count = sum(part.frames for part in files.parts)
    for variant in (SOURCE, PLAIN, RESULT):
        path = files.clips[variant]
        stills = _kept(store, {"clip": files.digests[variant]}, partial(_stills, path, count))
        cells += np.split(stills, 3)
    height, width = cells[0].shape[:2]
    if (photo := files.photo) is None:
        return label, [*cells, np.full_like(cells[0], 255)]

    def draw() -> Picture:
        from refract.media.product_image import load_product_image  # torch

        return load_product_image(photo, height, width, "all").pixels

    return label, [*cells, _kept(store, {"photo": hash_file(photo)}, draw, [height, width])]


def _stills(path: Path, count: int) -> Picture:
    """Three frames of a clip of `count`, one below the other; no more is held."""
    places = [0, count // 2, count - 1]
    kept = {at: frame.pixels for at, frame in enumerate(read_frames(path)) if at in places}
    return np.concatenate([kept[place] for place in places])


def _kept(
    store: ItemStore,
    inputs: Mapping[str, str],
    draw: Callable[[], Picture],
    size: Sequence[int] = (),
) -> Picture:
    """A picture from the store, or drawn now and kept there."""
    key = store.key(params={"size": size}, inputs=inputs, code=closure(__name__))
    slot = store.get_or_make(key, lambda folder: Image.fromarray(draw()).save(folder / _PICTURE))
    return np.asarray(Image.open(slot / _PICTURE))


def draw_edit_sheet(rows: Sequence[tuple[str, list[Picture]]], path: Path) -> None:
    """source | plain | reference, three frames each, and the product; a case a row."""
    titles = [
        title if place == 1 else ""
        for title in ("source", "plain FlowAlign", "with reference")
        for place in range(3)
    ]
    draw_sheet([*titles, "product"], rows, cell=_cell(rows[0][1][0]), path=path)
