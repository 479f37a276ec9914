"""Does the product region of a clip look like the product photo, and did the rest stay put?

Pure functions over arrays: clips are 8-bit RGB `[T, H, W, 3]`, regions boolean `[T, H, W]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refract.evaluation.measures.colour import (
    colour_histogram,
    delta_e,
    histogram_overlap,
    lab_pixels,
)
from refract.evaluation.measures.image import psnr, ssim_map, to_unit
from refract.media.regions import BoolArray, core, grow, square_box
from refract.media.video_io import Frames

if TYPE_CHECKING:
    import torch

RegionMask = BoolArray  # [T, H, W], or [H, W] of a photo

ERODE_PX = 2  # the blended outline of a product is not its colour
CROP_MARGIN = 0.15  # of the product's longer side, kept around it in a crop


ClipScores = dict[str, float]  # dotted metric -> value
ClipSeries = dict[str, list[float]]  # dotted metric -> a value a frame, or a pair of frames


class Measured(NamedTuple):
    """Measures of one clip, dotted key -> value.

    scores: one value a clip. series: one value a frame (T), or a pair of adjacent frames (T - 1),
    under the key of the score it unfolds. A score over all pixels is not the mean of its series.
    """

    scores: ClipScores
    series: ClipSeries


def merged(*parts: Measured) -> Measured:
    """All measures of several kinds together; later ones win where keys are equal."""
    scores = {key: value for part in parts for key, value in part.scores.items()}
    return Measured(scores, {key: values for part in parts for key, values in part.series.items()})


@dataclass(frozen=True)
class ProductPhoto:
    """The photo `[h, w, 3]` and where in it the product is, `[h, w]`; None where unknown."""

    pixels: NDArray[np.uint8]
    foreground: RegionMask | None

    @property
    def _inside(self) -> RegionMask:
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


def crop_square(image: NDArray[np.uint8], mask: RegionMask) -> NDArray[np.uint8]:
    """The square around `mask` with `CROP_MARGIN`; the image itself where the mask is empty."""
    box = square_box(mask, CROP_MARGIN)
    if box is None:
        return image
    top, left, side = box
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def background_region(masks: list[RegionMask], dilate_px: int) -> RegionMask:
    """Everything further than `dilate_px` from every mask: what an edit must leave alone."""
    return ~grow(np.logical_or.reduce(masks), dilate_px)


def colour_measures(clip: Frames, region: RegionMask, photo: ProductPhoto) -> Measured:
    """Histogram overlap (higher is closer) and CIE76 difference (lower) to the photo's product.

    Scores over the pixels of all frames together, `ERODE_PX` inside the region, series over those
    of each frame. nan for an empty one.
    """
    inside = core(region, ERODE_PX)
    lab = lab_pixels(clip[inside])
    by_frame = np.split(lab, np.cumsum(inside.sum((1, 2)))[:-1])
    frames = [_colour_agreement(pixels, photo) for pixels in by_frame]
    scores = _colour_agreement(lab, photo)
    return Measured(scores, {key: [frame[key] for frame in frames] for key in scores})


def _colour_agreement(lab: NDArray[np.float64], photo: ProductPhoto) -> dict[str, float]:
    """Both measures of Lab pixels `[N, 3]`."""
    if len(lab) == 0:
        return {"product.histogram_overlap": float("nan"), "product.delta_e": float("nan")}
    overlap = histogram_overlap(colour_histogram(lab), photo.histogram)
    return {"product.histogram_overlap": overlap, "product.delta_e": delta_e(lab, photo.lab)}


def background_measures(clip: Frames, source: Frames, background: RegionMask) -> Measured:
    """PSNR (dB, errors of all frames pooled) and SSIM (mean over frames) against the source."""
    image, truth = to_unit(clip), to_unit(source)
    similarity = ssim_map(image, truth)
    series = {
        "background.psnr": list(map(psnr, image, truth, background)),
        "background.ssim": [
            float(frame[mask].mean()) if mask.any() else float("nan")
            for frame, mask in zip(similarity, background, strict=True)
        ],
    }
    scores = {
        "background.psnr": psnr(image, truth, background),
        "background.ssim": finite_mean(series["background.ssim"]),
    }
    return Measured(scores, series)


def finite_mean(values: Sequence[float]) -> float:
    """Mean of the values that are finite; nan where none is."""
    finite = [value for value in values if isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def outside_only(clip: Frames, source: Frames, background: RegionMask) -> Frames:
    """The clip with everything but the background replaced by the source.

    A perceptual distance of this to the source sees changes outside the product only, although
    its features look beyond a pixel.
    """
    return np.where(background[..., None], clip, source)


def adjacent_similarities(features: "torch.Tensor") -> list[float]:
    """Cosine of each frame's unit features `[T, D]` with the next one's, T - 1 values."""
    similarities: list[float] = (features[1:] * features[:-1]).sum(1).tolist()
    return similarities


def frame_changes(clip: Frames) -> list[float]:
    """Mean absolute difference of each frame to the next one, levels of 255, T - 1 values."""
    changes: list[float] = np.abs(np.diff(clip.astype(np.int16), axis=0)).mean((1, 2, 3)).tolist()
    return changes
