"""A photo and its semantic map, from files or from memory, as arrays of one field of view."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from refract.base.errors import InputError
from refract.media.colour_profiles import to_srgb
from refract.media.image_reading import class_colours, read_rgb, read_semantic
from refract.media.panel_pixels import same_aspect

GivenPicture = str | Path | Image.Image | NDArray[np.uint8]


def photo_pixels(picture: GivenPicture) -> NDArray[np.uint8]:
    """[H, W, 3] of a photo."""
    if isinstance(picture, str | Path):
        return read_rgb(Path(picture))
    if isinstance(picture, Image.Image):
        return np.asarray(to_srgb(_upright(picture, "photo"), "photo").convert("RGB"))
    return _checked(picture, "photo")


def map_colours(picture: GivenPicture, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 3] of the semantic map of `photo`, coloured where it holds class ids.

    Raises InputError where it does not show the photo's field of view.
    """
    colours = _colours(picture)
    if not same_aspect(photo.shape, colours.shape):
        raise InputError(
            f"semantic_map: {_size(colours)}, the photo has {_size(photo)}; "
            "both must show the same field of view"
        )
    return colours


def _colours(picture: GivenPicture) -> NDArray[np.uint8]:
    """As `read_semantic` colours them."""
    if isinstance(picture, str | Path):
        return read_semantic(Path(picture))
    if isinstance(picture, Image.Image):
        upright = _upright(picture, "semantic_map")
        picture = np.asarray(upright.convert("L" if upright.mode in ("1", "L") else "RGB"))
    if picture.ndim == 2 and picture.dtype == np.uint8:
        return class_colours()[picture]
    return _checked(picture, "semantic_map")


def _upright(picture: Image.Image, name: str) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        raise InputError(f"{name}: mode {picture.mode}, expected an 8-bit picture")
    return ImageOps.exif_transpose(picture)


def _checked(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise InputError(
            f"{name}: {pixels.dtype} of shape {pixels.shape}, expected uint8 of shape [H, W, 3]"
        )
    return pixels


def _size(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
