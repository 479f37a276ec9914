"""The pixels of one triptych from its raw files, and notes on those files inside the PNG."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from refract.base.errors import InputError
from refract.media.class_palette import ClassPalette, read_labels
from refract.media.image_reading import read_rgb, read_semantic
from refract.media.panel_pixels import crop_border, has_white_border, same_aspect, square_panel
from refract.triptychs.panels.triptych import join_triptych
from refract.triptychs.preparing.infrared_levels import LowHigh, read_thermal, to_levels

# PNG text fields
KIND = "infrared"  # what the infrared file held
BORDER = "white_border"  # cropped | not there; only where the layout has one


def build_triptych(
    paths: Mapping[str, Path],
    panel_px: int,
    low_high: LowHigh | None,
    *,
    palette: ClassPalette | None = None,
    white_border_px: int = 0,
) -> tuple[NDArray[np.uint8], PngInfo]:
    """One triptych [P, 3P, 3] and the notes to save with it.

    `paths`: the files by kind; without `semantic` the map is black. `low_high`: the range of
    16-bit infrared values. `palette`: the map is a file of class ids. `white_border_px`: a white
    margin of this width is cropped off the pictures and the map, where it is there.

    Raises InputError for an unreadable file and for panels of different fields of view.
    """
    visible = read_rgb(paths["visible"])
    pixels, kind = read_thermal(paths["infrared"])
    infrared = to_levels(pixels, low_high)
    semantic = _map(paths.get("semantic"), palette, visible)
    notes = PngInfo()
    notes.add_text(KIND, kind)
    if white_border_px:
        framed = has_white_border(visible, white_border_px)
        framed = framed and has_white_border(infrared, white_border_px)
        notes.add_text(BORDER, "cropped" if framed else "not there")
        if framed:
            visible, infrared, semantic = (
                crop_border(x, white_border_px) for x in (visible, infrared, semantic)
            )
    _check_views(paths, visible, {"infrared": infrared, "semantic": semantic})
    triptych = join_triptych(
        square_panel(visible, panel_px),
        square_panel(infrared, panel_px),
        square_panel(semantic, panel_px, labels=True),
    )
    return triptych, notes


def notes_of(path: Path) -> dict[str, str]:
    """The notes in a triptych file."""
    with Image.open(path) as image:
        return {key: str(image.info[key]) for key in (KIND, BORDER) if key in image.info}


def _map(
    path: Path | None, palette: ClassPalette | None, visible: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    if path is None:
        return np.zeros_like(visible)
    return read_labels(path, palette) if palette else read_semantic(path)


def _check_views(
    paths: Mapping[str, Path],
    visible: NDArray[np.uint8],
    others: Mapping[str, NDArray[np.uint8]],
) -> None:
    for name, panel in others.items():
        if not same_aspect(visible.shape, panel.shape):
            raise InputError(
                f"{paths[name]}: {panel.shape[1]} x {panel.shape[0]} pixels, its visible picture "
                f"has {visible.shape[1]} x {visible.shape[0]}: expected the same field of view"
            )
