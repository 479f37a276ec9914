"""Which pictures go on the evaluation's image sheets, and where."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from refract.evaluation.edits.evaluation import PLAIN, RESULT, SOURCE
from refract.evaluation.edits.scores import EditCase
from refract.evaluation.infrared.evaluation import RUN, InfraredEvaluation
from refract.media.image_sheets import Picture, draw_sheet, error_picture, spread

LEAST_CELL_PX = 96  # below it a label does not fit its column
MOST_CELL_PX = 256
INFRARED_TITLES = ("visible", "semantic", "truth", "output", "error", "wrong map")


def _cell(picture: Picture) -> tuple[int, int]:
    """Cell (width, height) for pictures of this shape, aspect kept."""
    height, width = picture.shape[:2]
    scale = float(np.clip(1.0, LEAST_CELL_PX / width, MOST_CELL_PX / width))
    return round(width * scale), round(height * scale)


def draw_infrared_sheet(result: InfraredEvaluation, items: int, path: Path) -> None:
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


def edit_row(case: EditCase, label: str) -> tuple[str, list[Picture]]:
    """First, middle and last frame of source, plain and reference edit, then the product photo."""
    frames = (0, len(case.source) // 2, len(case.source) - 1)
    cells: list[Picture] = [case.clips[v][i] for v in (SOURCE, PLAIN, RESULT) for i in frames]
    blank = np.full_like(case.source[0], 255)
    return label, [*cells, blank if case.photo is None else case.photo.pixels]


def draw_edit_sheet(rows: Sequence[tuple[str, list[Picture]]], path: Path) -> None:
    """source | plain | reference, three frames each, and the product; a case a row."""
    titles = [
        title if place == 1 else ""
        for title in ("source", "plain FlowAlign", "with reference")
        for place in range(3)
    ]
    draw_sheet([*titles, "product"], rows, cell=_cell(rows[0][1][0]), path=path)
