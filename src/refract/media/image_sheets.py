"""Labelled sheets of pictures: rows of equal cells with a title above each column."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from refract.media.image_reading import letterbox

Picture = NDArray[np.uint8]  # [H, W] or [H, W, 3]

GAP = 4
FONT_PX = 13
LABEL_PX = 18
INK, PAPER = (20, 20, 20), (255, 255, 255)


def spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` indices out of `count`, evenly spread, the first and last among them."""
    places = np.linspace(0, count - 1, min(count, wanted))
    return np.unique(np.rint(places).astype(int)).tolist()


def error_picture(image: NDArray[np.uint8], truth: NDArray[np.uint8]) -> Picture:
    """Signed error of two single-channel pictures: red where too bright, blue where too dark.

    White is no error; full colour is 64 of 255 levels or more.
    """
    error = np.clip((image.astype(np.float64) - truth) / 64.0, -1, 1)
    red = 1 - np.maximum(-error, 0)
    blue = 1 - np.maximum(error, 0)
    return np.rint(np.stack([red, np.minimum(red, blue), blue], -1) * 255).astype(np.uint8)


def draw_sheet(
    titles: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Picture]]],
    *,
    cell: tuple[int, int],
    path: Path,
) -> None:
    """Write a PNG of labelled rows; every picture is fitted into a cell of (width, height) pixels.

    A row is its label, drawn above it, and one picture a title.
    """
    width, height = cell
    columns = len(titles)
    sheet_width = GAP + columns * (width + GAP)
    row_height = LABEL_PX + height + GAP
    sheet = Image.new("RGB", (sheet_width, LABEL_PX + GAP + len(rows) * row_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_PX)
    for column, title in enumerate(titles):
        left = GAP + column * (width + GAP)
        draw.text((left + width / 2, LABEL_PX / 2), title, INK, font, anchor="mm")
    for index, (label, pictures) in enumerate(rows):
        top = LABEL_PX + GAP + index * row_height
        draw.text((GAP, top + LABEL_PX / 2), label, INK, font, anchor="lm")
        for column, picture in enumerate(pictures):
            place = (GAP + column * (width + GAP), top + LABEL_PX)
            image = Image.fromarray(picture).convert("RGB")
            sheet.paste(letterbox(image, height, width, PAPER), place)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
