"""Separate a product from the plain backdrop of its photo, pixels first, then tokens."""

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label
from torch import Tensor

from refract.media.outlined_shape import grow_to_outline

_BORDER = 0.04  # of the shorter side: the ring taken for backdrop
_PLAIN = 0.06  # RGB distance in 0..1; the ring's median must stay below it
_LEAST_DISTANCE = 0.05  # of a product pixel from the backdrop, more where the photo is noisy
_NOISE_MARGIN = 4.0  # times the ring's own 90th percentile of distances
_FAINT = 0.025  # the same of a product with a sharp outline
_DEEPEST_SHADOW = 0.55  # brightness relative to the backdrop
_LEAST_PART = 0.02  # of the largest part: smaller ones are specks
_AREA = (0.005, 0.95)  # of the image: outside it the separation is not believed
PRODUCT_COVER = 0.25  # of a token's pixels must show the product
PHOTO_COVER = 0.75  # the same for a whole photo, so that letterbox bands stay out of the bank


def separate_product(image: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Mask [H, W] of the product in a photo [H, W, 3]; None where no plain backdrop is found.

    The backdrop is a plane in x, y per channel fitted to the image's border, so a gradient is
    plain too. A pixel belongs to the product where it differs from the backdrop both as it is and
    after allowing for a shadow, which darkens all channels alike; so does a gray or white product,
    which is told from a shadow by its outline (`grow_to_outline`).
    """
    pixels = image.astype(np.float64) / 255
    fit = _fit_backdrop(pixels)
    if fit is None:
        return None
    backdrop, noise, plain = fit
    shade = (pixels * backdrop).sum(-1) / np.maximum((backdrop**2).sum(-1), 1e-3)
    shaded = backdrop * np.clip(shade, _DEEPEST_SHADOW, 1)[..., None]
    far = max(_LEAST_DISTANCE, _NOISE_MARGIN * noise)
    mask = np.linalg.norm(pixels - shaded, axis=-1) > far
    mask = drop_specks(binary_fill_holes(mask))
    faint = max(_FAINT, _NOISE_MARGIN * noise)
    mask = drop_specks(grow_to_outline(mask, pixels - backdrop, faint, plain))
    return mask if _AREA[0] <= mask.mean() <= _AREA[1] else None


def _fit_backdrop(
    pixels: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float, NDArray[np.bool_]] | None:
    """Least-squares plane through the border ring, how far the plain part of the ring strays, and
    that part.

    Refitted without the worst quarter of the ring: a product or its shadow may touch the border.
    """
    height, width = pixels.shape[:2]
    px = max(2, round(_BORDER * min(height, width)))
    ring = np.ones((height, width), bool)
    ring[px:-px, px:-px] = False
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y], axis=-1)  # [H, W, 3]
    kept = ring
    for _ in range(3):
        plane, *_ = np.linalg.lstsq(terms[kept], pixels[kept], rcond=None)
        backdrop = np.clip(terms @ plane, 0, 1)
        error = np.linalg.norm(pixels - backdrop, axis=-1)
        kept = ring & (error <= np.quantile(error[ring], 0.75))
    if np.median(error[ring]) > _PLAIN:
        return None
    return backdrop, float(np.quantile(error[kept], 0.9)), kept


def drop_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask [H, W] without the parts that are tiny beside its largest."""
    parts, _ = label(mask)
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    return np.asarray((areas >= max(1.0, _LEAST_PART * areas.max()))[parts], bool)


def product_tokens(
    mask: NDArray[np.bool_], rows: int, columns: int, least_cover: float = PRODUCT_COVER
) -> Tensor:
    """Which tokens [rows, columns] of an image show the product, given its mask [H, W].

    A token counts from the share `least_cover` of its pixels on; where the product is smaller
    than that everywhere, the tokens it covers most are taken, so at least one is.
    """
    cells = torch.from_numpy(mask.astype(np.float32))
    cells = rearrange(cells, "(r h) (c w) -> r c (h w)", r=rows, c=columns)
    cover = cells.mean(-1)  # (rows, columns)
    return cover >= min(least_cover, float(cover.max()))
