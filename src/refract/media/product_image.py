"""A product photo, brought whole onto the pixel grid of the video model."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.base.errors import InputError
from refract.media.image_reading import (
    letterbox,
    on_white,
    open_photo,
    open_reduced,
    reading_px,
)
from refract.media.product_foreground import drop_specks, separate_product
from refract.media.salient_object import salient_object

logger = logging.getLogger(__name__)

Foreground = Literal["auto", "mask", "model", "all"]
_LEAST_PX = 8
_OPAQUE = 128  # of an opacity up to 255
_SEPARATED_PX = 1024  # longer side on which a product is told from its backdrop
_PLAUSIBLE = 0.05  # of a product photo: a product that covers less is rarely all of it
_REMEDY = (
    "give target_image_mask and ref_bank.foreground: mask, or ref_bank.foreground: model, to do "
    "better"
)


@dataclass(frozen=True)
class ProductImage:
    """pixels: [H, W, 3] uint8. mask: [H, W], where the product is. foreground: how it was found.

    Where everything is kept, the mask is the photo without the letterbox bands.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    foreground: str

    @property
    def keeps_all(self) -> bool:
        """Whether the mask is the whole photo, as asked for or for want of a plain backdrop."""
        return self.foreground.startswith("all")


def load_product_image(
    path: Path,
    height: int,
    width: int,
    foreground: Foreground,
    mask_path: Path | None = None,
    network: Path | None = None,
) -> ProductImage:
    """Read a photo and letterbox it to height x width, so that the whole product is kept.

    The bands take the colour of the photo's own border, for a foreign colour would be taken for
    a part of the product; they are never in the mask. Transparent pixels are laid on white, and
    transparency is itself a mask. A large photo is reduced before anything is computed on it.

    Args:
        foreground: auto separates the product from a plain backdrop and, where there is none,
            keeps the whole photo and says so; mask reads `mask_path`; model asks the salient-object
            network in the file `network`; all keeps the whole photo.
    Raises InputError for unreadable, tiny, fully transparent or mismatching pictures, an empty mask
    and a network that cannot be used.
    """
    photo, full_size = open_photo(path, reading_px(height, width))
    if min(full_size) < _LEAST_PX:
        raise InputError(
            f"{path}: {full_size[0]} x {full_size[1]} pixels; at least {_LEAST_PX} a side are "
            "needed"
        )
    flat, opacity = on_white(photo)
    pixels, alpha = np.asarray(flat), np.asarray(opacity)
    if alpha.max() < _OPAQUE:
        raise InputError(f"{path}: transparent everywhere; the product must be opaque")
    if foreground == "mask":
        mask, found = _read_mask(path, full_size, mask_path, max(flat.size)), "mask"
    else:
        mask, found = _find_mask(path, pixels, alpha, foreground, network)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = tuple(int(level) for level in np.median(border, axis=0))
    fitted = letterbox(flat, height, width, colour)
    stencil = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    fitted_mask = np.asarray(letterbox(stencil, height, width, 0)) >= 128
    if not fitted_mask.any():
        raise InputError(f"{mask_path or path}: the product covers no pixel at {width} x {height}")
    return ProductImage(np.asarray(fitted), fitted_mask, found)


def _find_mask(
    path: Path,
    pixels: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    foreground: Foreground,
    network: Path | None,
) -> tuple[NDArray[np.bool_], str]:
    """[H, W], where the product is as far as photo and network tell, and how it was found."""
    if foreground == "all":
        return np.ones(alpha.shape, bool), "all"
    if foreground == "model":
        assert network is not None  # the settings hold them together
        mask, found = drop_specks(salient_object(pixels, network)), "model"
        if not mask.any():
            raise InputError(f"{path}: ref_bank.foreground_model sees no product in it; {_REMEDY}")
    elif alpha.min() < _OPAQUE:
        mask, found = alpha >= _OPAQUE, "auto: transparency"
    elif (separated := _separate(pixels)) is not None:
        mask, found = separated, "auto: backdrop"
    else:
        logger.warning(
            "%s: no plain backdrop found, so the whole photo enters the bank; %s", path, _REMEDY
        )
        return np.ones(alpha.shape, bool), "all: no plain backdrop found"
    if (share := mask.mean()) < _PLAUSIBLE:
        logger.warning(
            "%s: only %.1f %% of the photo is taken for the product (%s); if that is not all of "
            "it, %s",
            path, 100 * share, found, _REMEDY,
        )  # fmt: skip
    return mask, found


def _separate(pixels: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """As `separate_product`, for a large photo on a reduced copy."""
    photo = Image.fromarray(pixels)
    if max(photo.size) <= _SEPARATED_PX:
        return separate_product(pixels)
    small = photo.copy()
    small.thumbnail((_SEPARATED_PX, _SEPARATED_PX), Image.Resampling.LANCZOS)
    mask = separate_product(np.asarray(small))
    if mask is None:
        return None
    stencil = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    return np.asarray(stencil.resize(photo.size, Image.Resampling.BILINEAR)) >= 128


def _read_mask(
    path: Path, full_size: tuple[int, int], mask_path: Path | None, most_px: int
) -> NDArray[np.bool_]:
    """The mask, reduced as the photo is; full_size: the photo's own (width, height)."""
    if mask_path is None:
        raise InputError(
            f"{path}: ref_bank.foreground = mask needs the case's target_image_mask "
            "(a picture that is white where the product is)"
        )
    picture, mask_size = open_reduced(mask_path, most_px)
    if mask_size != full_size:
        raise InputError(
            f"{mask_path}: {mask_size[0]} x {mask_size[1]} pixels, but {path} has "
            f"{full_size[0]} x {full_size[1]}"
        )
    mask = np.asarray(picture.convert("L")) >= 128
    if not mask.any():
        raise InputError(f"{mask_path}: is black everywhere; the product must be white")
    return mask
