"""Does the product region of a clip look like the product photo, and did the rest stay put?

Pure functions over arrays: clips are 8-bit RGB `[T, H, W, 3]`, regions boolean `[T, H, W]`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from refract.colour_metrics import colour_histogram, delta_e, histogram_overlap, lab_pixels
from refract.image_metrics import psnr, ssim, to_unit
from refract.regions import core, grow, square_box

Clip = NDArray[np.uint8]
Region = NDArray[np.bool_]

ERODE_PX = 2  # the blended outline of a product is not its colour
CROP_MARGIN = 0.15  # of the product's longer side, kept around it in a crop


@dataclass(frozen=True)
class ProductPhoto:
    """The photo `[h, w, 3]` and where in it the product is, `[h, w]`; None where unknown."""

    pixels: NDArray[np.uint8]
    foreground: Region | None

    @property
    def _inside(self) -> Region:
        if self.foreground is None:
            raise ValueError("the photo's product region is unknown")
        return self.foreground

    @cached_property
    def lab(self) -> NDArray[np.float64]:
        """Lab colours of the product's inside, `[N, 3]`."""
        return lab_pixels(self.pixels[core(self._inside, ERODE_PX)])

    @cached_property
    def histogram(self) -> NDArray[np.float64]:
        return colour_histogram(self.lab)

    @cached_property
    def crop(self) -> NDArray[np.uint8]:
        """The square around the product."""
        return crop_square(self.pixels, self._inside)


def crop_square(image: NDArray[np.uint8], mask: Region) -> NDArray[np.uint8]:
    """The square around `mask` with `CROP_MARGIN`; the image itself where the mask is empty."""
    box = square_box(mask, CROP_MARGIN)
    if box is None:
        return image
    top, left, side = box
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def background_region(masks: list[Region], dilate_px: int) -> Region:
    """Everything further than `dilate_px` from every mask: what an edit must leave alone."""
    return ~grow(np.logical_or.reduce(masks), dilate_px)


def colour_scores(clip: Clip, region: Region, photo: ProductPhoto) -> dict[str, float]:
    """Histogram overlap (higher is closer) and CIE76 difference (lower) to the photo's product.

    Over the pixels of all frames together, `ERODE_PX` inside the region. nan for an empty one.
    """
    pixels = clip[core(region, ERODE_PX)]
    if len(pixels) == 0:
        return {"product.histogram_overlap": float("nan"), "product.delta_e": float("nan")}
    lab = lab_pixels(pixels)
    overlap = histogram_overlap(colour_histogram(lab), photo.histogram)
    return {"product.histogram_overlap": overlap, "product.delta_e": delta_e(lab, photo.lab)}


def background_scores(clip: Clip, source: Clip, background: Region) -> dict[str, float]:
    """PSNR (dB, errors of all frames pooled) and SSIM (mean over frames) against the source."""
    image, truth = to_unit(clip), to_unit(source)
    per_frame = [ssim(*frames) for frames in zip(image, truth, background, strict=True)]
    return {
        "background.psnr": psnr(image, truth, background),
        "background.ssim": float(np.nanmean(per_frame)) if background.any() else float("nan"),
    }


def outside_only(clip: Clip, source: Clip, background: Region) -> Clip:
    """The clip with everything but the background replaced by the source.

    A perceptual distance of this to the source sees changes outside the product only, although
    its features look beyond a pixel.
    """
    return np.where(background[..., None], clip, source)


def adjacent_similarity(features: torch.Tensor) -> float:
    """Mean cosine of adjacent frames' unit features `[T, D]`; nan for a single frame."""
    if len(features) < 2:
        return float("nan")
    return float((features[1:] * features[:-1]).sum(1).mean())


def frame_change(clip: Clip) -> float:
    """Mean absolute difference of adjacent frames, levels of 255; nan for a single frame."""
    if len(clip) < 2:
        return float("nan")
    return float(np.abs(np.diff(clip.astype(np.int16), axis=0)).mean())


def similarity_to(features: torch.Tensor, reference: torch.Tensor) -> float:
    """Mean cosine of unit features `[T, D]` to one unit feature `[1, D]`: CLIP-I."""
    return float((features @ reference.T).mean())
