"""Means and ratios of sums with percentile-bootstrap confidence intervals (Efron 1979).

Over items alone, or over items and seeds (Owen 2007).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MeanInterval:
    """A mean and the two ends of its confidence interval; `count` values went into it."""

    mean: float
    low: float
    high: float
    count: int

    def __neg__(self) -> "MeanInterval":
        return MeanInterval(-self.mean, -self.high, -self.low, self.count)


Interval = Callable[[Sequence[float]], MeanInterval | None]  # how a mean's interval is made


@dataclass(frozen=True)
class Resampling:
    """How intervals and p-values are drawn; the same settings give the same numbers."""

    resamples: int = 10_000
    seed: int = 0


def mean_interval(values: Sequence[float], how: Resampling) -> MeanInterval | None:
    """Mean over items and its 95% percentile-bootstrap interval, resampling whole items.

    Non-finite values are left out and so not counted; None where nothing is left. One value has
    no spread to resample: both ends equal it. Same values, same `how` -> same numbers.
    """
    sample = np.asarray(values, np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return None
    mean = float(sample.mean())
    if np.ptp(sample) == 0:
        return MeanInterval(mean, mean, mean, sample.size)
    low, high = _percentile_ends(sample, np.mean, how)
    return MeanInterval(mean, low, high, sample.size)


def pooled_interval(
    parts: NDArray[np.float64], wholes: NDArray[np.float64], how: Resampling
) -> MeanInterval | None:
    """A ratio of sums over items, such as a share, and its 95% interval, resampling whole items.

    parts, wholes: [items, groups]; of several groups it is the mean of their ratios. Items without
    any whole say nothing and are not counted; None where no item is left.
    """
    there = wholes.any(1)
    parts, wholes = parts[there], wholes[there]
    count = len(wholes)
    if count == 0:
        return None

    def value(rows: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        # a draw that misses every item of a group is the mean of the others
        return np.asarray(np.nanmean(_ratio(parts[rows], wholes[rows], axis - 1), -1))

    mean = float(value(np.arange(count)))
    if count == 1:
        return MeanInterval(mean, mean, mean, 1)
    batch = max(1, 10**7 // wholes.size)  # some 100 MB
    return MeanInterval(mean, *_percentile_ends(np.arange(count), value, how, batch), count)


def _ratio(
    parts: NDArray[np.float64], wholes: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """Ratio of the sums along an axis; nan where there is no whole."""
    total, size = parts.sum(axis), wholes.sum(axis)
    return np.divide(total, size, out=np.full(size.shape, np.nan), where=size > 0)


def _percentile_ends(
    sample: NDArray[Any], statistic: Callable[..., Any], how: Resampling, batch: int | None = None
) -> tuple[float, float]:
    """The 95% interval of a statistic that takes an axis; `batch`: draws in memory at a time.

    The draws and the interval of scipy.stats.bootstrap, which takes longer to import than all
    intervals of a run to compute.
    """
    drawn = _draws(len(sample), how)
    step = batch or len(drawn)
    batches = (drawn[start : start + step] for start in range(0, len(drawn), step))
    return _ends(np.concatenate([statistic(sample[rows], axis=-1) for rows in batches]))


@lru_cache(maxsize=4)  # most samples of a run are of one size
def _draws(count: int, how: Resampling) -> NDArray[np.int64]:
    return np.random.default_rng(how.seed).integers(0, count, (how.resamples, count))


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def crossed_interval(values: NDArray[np.float64], how: Resampling) -> MeanInterval | None:
    """Mean over seeds and items with an interval for what others of both would change.

    Every seed is tried on every item, so the two are resampled independently, each with
    replacement: the pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1). Of one seed
    it is `mean_interval`.

    values: [seeds, items], non-finite where there is none. `count` is of items that have any.
    """
    present = np.isfinite(values)
    values, present = (x[present.any(1)][:, present.any(0)] for x in (values, present))
    if len(values) < 2:
        alone: list[float] = values.ravel().tolist()
        return mean_interval(alone, how)
    rng = np.random.default_rng(how.seed)
    times = [rng.multinomial(n, np.full(n, 1 / n), how.resamples) for n in values.shape]
    sums, counts = (
        ((times[0] @ x) * times[1]).sum(1) for x in (np.where(present, values, 0.0), present)
    )
    ends = _ends(sums[counts > 0] / counts[counts > 0])
    return MeanInterval(float(values[present].mean()), *ends, values.shape[1])
