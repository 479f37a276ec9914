"""A product photo, brought whole onto the pixel grid of the video model."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.base.errors import InputError
from refract.media.image_reading import letterbox, on_white, open_eight_bit, read_gray
from refract.media.product_foreground import separate_product

logger = logging.getLogger(__name__)

Foreground = Literal["auto", "mask", "all"]
_LEAST_PX = 8


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
    path: Path, height: int, width: int, foreground: Foreground, mask_path: Path | None = None
) -> ProductImage:
    """Read a photo and letterbox it to height x width, so that the whole product is kept.

    The bands take the colour of the photo's own border, for a foreign colour would be taken for
    a part of the product; they are never in the mask. Transparent pixels are laid on white, and
    transparency is itself a mask.

    Args:
        foreground: auto separates the product from a plain backdrop and, where there is none,
            keeps the whole photo and says so; mask reads `mask_path`; all keeps the whole photo.
    Raises InputError for unreadable, tiny or mismatching pictures and an empty mask.
    """
    photo = open_eight_bit(path)
    if min(photo.size) < _LEAST_PX:
        raise InputError(
            f"{path}: {photo.width} x {photo.height} pixels; at least {_LEAST_PX} a side are needed"
        )
    flat, opacity = on_white(photo)
    pixels, alpha = np.asarray(flat), np.asarray(opacity)
    mask, foreground_found = _find_mask(path, pixels, alpha, foreground, mask_path)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = tuple(int(level) for level in np.median(border, axis=0))
    fitted = letterbox(flat, height, width, colour)
    stencil = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    fitted_mask = np.asarray(letterbox(stencil, height, width, 0)) >= 128
    if not fitted_mask.any():
        raise InputError(f"{mask_path or path}: the product covers no pixel at {width} x {height}")
    return ProductImage(np.asarray(fitted), fitted_mask, foreground_found)


def _find_mask(
    path: Path,
    pixels: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    foreground: Foreground,
    mask_path: Path | None,
) -> tuple[NDArray[np.bool_], str]:
    everything = np.ones(alpha.shape, bool)
    if foreground == "all":
        return everything, "all"
    if foreground == "mask":
        return _read_mask(path, alpha, mask_path), "mask"
    if alpha.min() < 128 <= alpha.max():
        return alpha >= 128, "auto: transparency"
    mask = separate_product(pixels)
    if mask is None:
        logger.warning(
            "%s: no plain backdrop found, so the whole photo enters the bank; "
            "give target_image_mask and ref_bank.foreground: mask to do better",
            path,
        )
        return everything, "all: no plain backdrop found"
    return mask, "auto: backdrop"


def _read_mask(path: Path, alpha: NDArray[np.uint8], mask_path: Path | None) -> NDArray[np.bool_]:
    if mask_path is None:
        raise InputError(
            f"{path}: ref_bank.foreground = mask needs the case's target_image_mask "
            "(a picture that is white where the product is)"
        )
    mask = read_gray(mask_path) >= 128
    if mask.shape != alpha.shape:
        raise InputError(
            f"{mask_path}: {mask.shape[1]} x {mask.shape[0]} pixels, but {path} has "
            f"{alpha.shape[1]} x {alpha.shape[0]}"
        )
    if not mask.any():
        raise InputError(f"{mask_path}: is black everywhere; the product must be white")
    return mask
