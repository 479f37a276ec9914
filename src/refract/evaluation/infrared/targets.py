"""Warm, compact targets of an infrared picture, and which of them two pictures share.

Neither a map nor a network says what a target is: one detector looks at the truth and at what was
made of it. A target is what the diameter top-hat leaves (Breen and Jones 1996; Walter et al. 2007):
a bright region of at most half the picture's side, measured from the level at which it runs into
something larger. Levels are in standard deviations of the picture, so that a gain and an offset
change nothing. What stands out by one deviation is a target; by half of one it is faint, and a
target only beside a clear one of the other picture: none comes and goes by a grey level.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from refract.evaluation.infrared.scenes import Gray
from refract.evaluation.measures.bootstrap import MeanInterval, Resampling, pooled_interval
from refract.evaluation.measures.optical_flow import one_thread

MATCHED, MISSED, HALLUCINATED = COUNTS = (
    "targets_matched", "targets_missed", "targets_hallucinated",
)  # fmt: skip

_SMOOTHING = 1 / 64  # sigma, of the shorter side
_DIAMETER = 1 / 2  # of the shorter side: what is as wide or high is ground, sky or a building
_STEPS = 4  # levels a standard deviation
_CLEAR, _FAINT = _STEPS, _STEPS // 2  # levels above the surroundings
_MIN_IOU = 0.5  # of two boxes that are one target, as in PASCAL VOC and KAIST

Levels = NDArray[np.int64]  # [H, W]


@dataclass(frozen=True)
class Targets:
    """boxes: [N, 4], top, left, bottom, right in px, ends excluded. clear: [N], not just faint."""

    boxes: NDArray[np.float64]
    clear: NDArray[np.bool_]


def find_targets(picture: Gray) -> Targets:
    """The targets of a picture `[H, W]`, the faint ones too; none where it is flat."""
    levels = _levels(picture)
    with one_thread():
        top_hat = levels - _diameter_opening(levels, min(picture.shape) * _DIAMETER)
        regions, boxes = _regions(top_hat >= _FAINT)
    clear = np.isin(np.arange(1, len(boxes) + 1), regions[top_hat >= _CLEAR])
    return Targets(boxes, clear)


def target_counts(truth: Targets, made: Targets) -> dict[str, float]:
    """How many targets both pictures have, the truth alone (missed) and the other alone.

    One to one, by the assignment of the greatest sum of IoU among the pairs that overlap enough.
    """
    # not above: it loads for long, and of measured pictures the counts alone are asked
    from scipy.optimize import linear_sum_assignment

    overlap = _iou(truth.boxes, made.boxes)
    overlap = np.where(overlap >= _MIN_IOU, overlap, 0)
    ours, theirs = linear_sum_assignment(overlap, maximize=True)
    paired = overlap[ours, theirs] > 0
    ours, theirs = ours[paired], theirs[paired]
    return {
        MATCHED: float((truth.clear[ours] | made.clear[theirs]).sum()),
        MISSED: float(np.delete(truth.clear, ours).sum()),
        HALLUCINATED: float(np.delete(made.clear, theirs).sum()),
    }


def target_intervals(
    counts: Mapping[str, Sequence[float]], how: Resampling
) -> dict[str, MeanInterval | None]:
    """Precision, recall and F1 of the targets of all scenes together, interval over scenes.

    None where there is no target to be right or wrong about.
    """
    matched, missed, hallucinated = (np.asarray(counts[name], float)[:, None] for name in COUNTS)
    return {
        "target_precision": pooled_interval(matched, matched + hallucinated, how),
        "target_recall": pooled_interval(matched, matched + missed, how),
        "target_f1": pooled_interval(2 * matched, 2 * matched + missed + hallucinated, how),
    }


def _levels(picture: Gray) -> Levels:
    """Smoothed, in steps from the coldest; a step is a grey level at least: noise is no target."""
    smooth = ndimage.gaussian_filter(picture.astype(np.float64), min(picture.shape) * _SMOOTHING)
    step = max(float(smooth.std()) / _STEPS, 1.0)
    return np.floor((smooth - smooth.min()) / step).astype(np.int64)


def _diameter_opening(levels: Levels, diameter: float) -> Levels:
    """Each pixel's highest level at which its region is as wide or high as `diameter`.

    scikit-image's diameter_opening takes 40 times as long for the few levels of a picture.
    """
    opened = np.zeros_like(levels)
    for level in range(1, int(levels.max()) + 1):
        regions, boxes = _regions(levels >= level)
        large = (boxes[:, 2:] - boxes[:, :2]).max(1) >= diameter
        if not large.any():  # nor at any level above, where regions are parts of these
            break
        opened[np.append(False, large)[regions]] = level
    return opened


def _regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """8-connected regions, numbered from 1 (0 outside), and their boxes."""
    _, regions, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    left, top, width, height = stats[1:, :4].T.astype(np.float64)
    return regions, np.stack([top, left, top + height, left + width], 1)


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of every box of `a` with every one of `b`, [N, M]."""
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (a, b)]
    return np.asarray(shared / (areas[0][:, None] + areas[1] - shared))
