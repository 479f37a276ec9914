"""Answers to "what is the infrared picture?" that need no model; every model is read beside them.

Fitted on the training split alone, apart for each time of day. Every answer is rounded to 8 bits
like a model's. A time of day that training lacks is fitted on the whole training split.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refract.infrared_scenes import Gray, Scene

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_SHIFT = 3  # 8 levels a colour channel count as one: robust to lossy maps, apart for palettes
_COLOURS = 1 << 3 * (8 - _SHIFT)

Baseline = Callable[[Scene], Gray]


def _to_bytes(image: NDArray[np.floating]) -> Gray:
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def luma(scene: Scene) -> NDArray[np.float64]:
    """BT.601 luma `[P, P]` of the visible picture, 0..255, not rounded."""
    return np.asarray(scene.visible @ _LUMA, np.float64)


def grayscale(scene: Scene) -> Gray:
    """BT.601 luma of the visible picture."""
    return _to_bytes(luma(scene))


def inverted_grayscale(scene: Scene) -> Gray:
    """255 minus the luma."""
    return _to_bytes(255 - luma(scene))


@dataclass(frozen=True)
class _PerDaytime:
    """One fitted answer for each time of day of the training split, and one for all of it."""

    by_daytime: Mapping[str, Baseline]
    otherwise: Baseline

    def __call__(self, scene: Scene) -> Gray:
        return self.by_daytime.get(scene.daytime, self.otherwise)(scene)


def _per_daytime(fit: Callable[[Sequence[Scene]], Baseline], training: Sequence[Scene]) -> Baseline:
    groups = {
        scene.daytime: [s for s in training if s.daytime == scene.daytime] for scene in training
    }
    return _PerDaytime({name: fit(group) for name, group in groups.items()}, fit(training))


def _fit_linear(training: Sequence[Scene]) -> Baseline:
    """Least squares infrared = gain * luma + offset over all pixels."""
    levels = np.concatenate([luma(scene).ravel() for scene in training])
    infrared = np.concatenate([scene.infrared.ravel() for scene in training]).astype(np.float64)
    centred = levels - levels.mean()
    spread = float(np.square(centred).mean())
    gain = float((centred * infrared).mean()) / spread if spread > 0 else 0.0
    offset = float(infrared.mean()) - gain * float(levels.mean())
    return lambda scene: _to_bytes(gain * luma(scene) + offset)


def _fit_mean(training: Sequence[Scene]) -> Baseline:
    """The mean training infrared picture."""
    picture = _to_bytes(np.mean([scene.infrared for scene in training], axis=0))
    return lambda scene: picture


def _colour_index(semantic: NDArray[np.uint8]) -> NDArray[np.int64]:
    levels = semantic.astype(np.int64) >> _SHIFT
    step = 8 - _SHIFT
    return (levels[..., 0] << 2 * step) | (levels[..., 1] << step) | levels[..., 2]


def _fit_class_mean(training: Sequence[Scene]) -> Baseline:
    """Mean training infrared value of each semantic colour; the overall mean for a new colour."""
    totals, counts = np.zeros(_COLOURS), np.zeros(_COLOURS)
    for scene in training:
        index = _colour_index(scene.semantic).ravel()
        totals += np.bincount(index, scene.infrared.ravel(), _COLOURS)
        counts += np.bincount(index, minlength=_COLOURS)
    table = np.where(counts > 0, totals / np.maximum(counts, 1), totals.sum() / counts.sum())
    return lambda scene: _to_bytes(table[_colour_index(scene.semantic)])


def has_semantics(scenes: Iterable[Scene]) -> bool:
    """Whether any semantic map holds more than one colour, that is, says anything."""
    return any(np.ptp(scene.semantic, axis=(0, 1)).any() for scene in scenes)


def fit_baselines(training: Sequence[Scene]) -> dict[str, Baseline]:
    """Every baseline by its metrics key.

    Without training scenes only those that need no fit; without semantic maps no class mean.
    """
    baselines: dict[str, Baseline] = {
        "grayscale": grayscale,
        "inverted_grayscale": inverted_grayscale,
    }
    if training:
        baselines["linear_grayscale"] = _per_daytime(_fit_linear, training)
        baselines["mean_infrared"] = _per_daytime(_fit_mean, training)
        if has_semantics(training):
            baselines["class_mean"] = _per_daytime(_fit_class_mean, training)
    return baselines
