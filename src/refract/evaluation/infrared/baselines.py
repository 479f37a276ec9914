"""Answers to "what is the infrared picture?" that need no model; every model is read beside them.

Fitted on the training split alone, apart for each time of day. Every answer is rounded to 8 bits
like a model's. A time of day that training lacks is fitted on the whole training split.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from refract.evaluation.infrared.scenes import Gray, TrueScene
from refract.media.image_reading import LUMA

_SHIFT = 3  # 8 levels a colour channel count as one: robust to lossy maps, apart for palettes
_COLOURS = 1 << 3 * (8 - _SHIFT)
_ROUNDING = 1e-12  # of float64 sums, relative

Baseline = Callable[[TrueScene], Gray]


def _to_bytes(image: NDArray[np.floating]) -> Gray:
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def luma(scene: TrueScene) -> NDArray[np.float64]:
    """BT.601 luma `[P, P]` of the visible picture, 0..255, not rounded."""
    return np.asarray(scene.visible @ LUMA, np.float64)


def grayscale(scene: TrueScene) -> Gray:
    """BT.601 luma of the visible picture."""
    return _to_bytes(luma(scene))


def inverted_grayscale(scene: TrueScene) -> Gray:
    """255 minus the luma."""
    return _to_bytes(255 - luma(scene))


@dataclass(frozen=True)
class _PerDaytime:
    """One fitted answer for each time of day of the training split, and one for all of it."""

    by_daytime: Mapping[str, Baseline]
    otherwise: Baseline

    def __call__(self, scene: TrueScene) -> Gray:
        return self.by_daytime.get(scene.daytime, self.otherwise)(scene)


@dataclass
class _Sums:
    """What the fits need of training scenes: sums, so that no more than one is in memory."""

    pixels: int = 0
    luma: float = 0.0
    infrared: float = 0.0
    luma_squared: float = 0.0
    product: float = 0.0
    scenes: int = 0
    picture: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    of_colour: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_COLOURS))
    colour_pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_COLOURS, np.int64))

    @classmethod
    def of(cls, scene: TrueScene) -> "_Sums":
        levels, infrared = luma(scene), scene.infrared.astype(np.float64)
        index = _colour_index(scene.semantic).ravel()
        return cls(
            pixels=levels.size,
            luma=float(levels.sum()),
            infrared=float(infrared.sum()),
            luma_squared=float(np.square(levels).sum()),
            product=float((levels * infrared).sum()),
            scenes=1,
            picture=scene.infrared.astype(np.int64),
            of_colour=np.bincount(index, infrared.ravel(), _COLOURS).astype(np.float64),
            colour_pixels=np.bincount(index, minlength=_COLOURS),
        )

    def __add__(self, other: "_Sums") -> "_Sums":
        sums = vars(self)
        return _Sums(**{name: sums[name] + value for name, value in vars(other).items()})


def _per_daytime(fit: Callable[[_Sums], Baseline], by_daytime: Mapping[str, _Sums]) -> Baseline:
    all_day = sum(by_daytime.values(), _Sums())
    return _PerDaytime({name: fit(sums) for name, sums in by_daytime.items()}, fit(all_day))


def _fit_linear(sums: _Sums) -> Baseline:
    """Least squares infrared = gain * luma + offset over all pixels."""
    luma_mean, infrared_mean = sums.luma / sums.pixels, sums.infrared / sums.pixels
    square = sums.luma_squared / sums.pixels
    spread = square - luma_mean**2
    covariance = sums.product / sums.pixels - luma_mean * infrared_mean
    # a constant luma leaves a spread of rounding alone
    gain = covariance / spread if spread > _ROUNDING * square else 0.0
    offset = infrared_mean - gain * luma_mean
    return lambda scene: _to_bytes(gain * luma(scene) + offset)


def _fit_mean(sums: _Sums) -> Baseline:
    """The mean training infrared picture."""
    picture = _to_bytes(sums.picture / sums.scenes)
    return lambda scene: picture


def _colour_index(semantic: NDArray[np.uint8]) -> NDArray[np.int64]:
    levels = semantic.astype(np.int64) >> _SHIFT
    step = 8 - _SHIFT
    return (levels[..., 0] << 2 * step) | (levels[..., 1] << step) | levels[..., 2]


def _fit_class_mean(sums: _Sums) -> Baseline:
    """Mean training infrared value of each semantic colour; the overall mean for a new colour."""
    counts = sums.colour_pixels
    overall = sums.of_colour.sum() / counts.sum()
    table = np.where(counts > 0, sums.of_colour / np.maximum(counts, 1), overall)
    return lambda scene: _to_bytes(table[_colour_index(scene.semantic)])


def has_semantics(scenes: Iterable[TrueScene]) -> bool:
    """Whether any semantic map holds more than one colour, that is, says anything."""
    return any(np.ptp(scene.semantic, axis=(0, 1)).any() for scene in scenes)


def fit_baselines(training: Iterable[TrueScene]) -> dict[str, Baseline]:
    """Every baseline by its metrics key.

    Without training scenes only those that need no fit; without semantic maps no class mean.
    """
    baselines: dict[str, Baseline] = {
        "grayscale": grayscale,
        "inverted_grayscale": inverted_grayscale,
    }
    by_daytime: dict[str, _Sums] = {}
    semantics = False
    for scene in training:
        by_daytime[scene.daytime] = by_daytime.get(scene.daytime, _Sums()) + _Sums.of(scene)
        semantics = semantics or has_semantics([scene])
    if by_daytime:
        baselines["linear_grayscale"] = _per_daytime(_fit_linear, by_daytime)
        baselines["mean_infrared"] = _per_daytime(_fit_mean, by_daytime)
        if semantics:
            baselines["class_mean"] = _per_daytime(_fit_class_mean, by_daytime)
    return baselines
