"""Measures of edited clips against the pairs they were made from, and their means."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbones.video.edit_pairs import Pair
from backbones.video.reader_model import Reader, read_clips
from refract.evaluation.measures.bootstrap import Resampling, mean_interval
from refract.evaluation.measures.product import (
    ProductPhoto,
    background_measures,
    background_region,
    colour_measures,
)
from refract.media.product_foreground import separate_product

Mask = NDArray[np.bool_]
Scores = dict[str, list[float]]  # metric -> one value a pair

_DILATE_PX = 9  # as params.yaml's evaluate.dilate_px
_RESAMPLES = 2000


def mask_iou(seen: Mask, true: Mask) -> float:
    """Intersection over union of (f, h, w), mean over the frames; two empty frames agree fully."""
    both = (seen & true).sum((1, 2))
    either = (seen | true).sum((1, 2))
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())


def centroid_error(seen: Mask, true: Mask) -> float:
    """Mean distance in px of the centres of mass of (f, h, w); nan where none shows a product.

    A frame without anything seen is left out.
    """
    distances = [
        np.hypot(*(np.argwhere(one).mean(0) - np.argwhere(other).mean(0)))
        for one, other in zip(seen, true, strict=True)
        if one.any() and other.any()
    ]
    return float(np.mean(distances)) if distances else float("nan")


def swap_scores(reader: Reader, clips: NDArray[np.uint8], pairs: Sequence[Pair]) -> Scores:
    """IoU of the mask seen in each clip to the target's true mask, and to the source's."""
    masks = read_clips(reader, clips).masks
    both = list(zip(masks, pairs, strict=True))
    return {
        "iou_to_target": [mask_iou(mask, pair.target_mask) for mask, pair in both],
        "iou_to_source": [mask_iou(mask, pair.source_mask) for mask, pair in both],
    }


def recolour_scores(reader: Reader, clips: NDArray[np.uint8], pairs: Sequence[Pair]) -> Scores:
    """The pipeline's own measures of product and background, and where the product stands."""
    scores: Scores = {}
    masks = read_clips(reader, clips).masks
    for clip, mask, pair in zip(clips, masks, pairs, strict=True):
        photo = ProductPhoto(pair.photo, separate_product(pair.photo))
        background = background_region([pair.target_mask, pair.source_mask], _DILATE_PX)
        found = background_measures(clip, pair.video, background).scores
        if photo.foreground is not None:
            found |= colour_measures(clip, pair.target_mask, photo).scores
        found["centroid_error_px"] = centroid_error(mask, pair.target_mask)
        found["iou_to_target"] = mask_iou(mask, pair.target_mask)
        for metric, value in found.items():
            scores.setdefault(metric, []).append(value)
    return scores


def summary(by_seed: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Mean over pairs (each the mean of its seeds), bootstrap interval, and every seed's mean."""
    table: dict[str, Any] = {}
    for metric in by_seed[0]:
        values = np.array([scores[metric] for scores in by_seed])  # (seeds, pairs)
        interval = mean_interval(values.mean(0).tolist(), Resampling(_RESAMPLES, 0))
        table[metric] = {
            **({} if interval is None else asdict(interval)),
            "by_seed": np.nanmean(values, 1).tolist(),
        }
    return table


def difference(one: Scores, other: Scores) -> Scores:
    return {name: np.subtract(one[name], other[name]).tolist() for name in one}
