"""Means with percentile-bootstrap confidence intervals (Efron 1979; scipy.stats).

Over items alone, or over items and seeds (Owen 2007).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

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
    low, high = percentile_ends(sample, np.mean, how)
    return MeanInterval(mean, low, high, sample.size)


def percentile_ends(
    sample: NDArray[Any], statistic: Callable[..., Any], how: Resampling, batch: int | None = None
) -> tuple[float, float]:
    """The 95% interval of a statistic that takes an axis; `batch`: draws in memory at a time."""
    ends = bootstrap(
        (sample,),
        statistic,
        n_resamples=how.resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        batch=batch,
        vectorized=True,
        rng=np.random.default_rng(how.seed),
    ).confidence_interval
    return float(ends.low), float(ends.high)


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
    low, high = np.quantile(
        sums[counts > 0] / counts[counts > 0], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    )
    return MeanInterval(float(values[present].mean()), float(low), float(high), values.shape[1])
