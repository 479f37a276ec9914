"""Mean with a bootstrap confidence interval (Efron 1979, percentile method; scipy.stats)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap


@dataclass(frozen=True)
class MeanInterval:
    """A mean and the two ends of its confidence interval; `count` values went into it."""

    mean: float
    low: float
    high: float
    count: int


def mean_interval(
    values: Sequence[float], *, resamples: int, seed: int, confidence: float = 0.95
) -> MeanInterval | None:
    """Mean over items and its percentile-bootstrap interval, resampling whole items.

    Non-finite values are left out and so not counted; None where nothing is left. One value has
    no spread to resample: both ends equal it. Same values, resamples and seed -> same numbers.
    """
    sample = np.asarray(values, np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return None
    mean = float(sample.mean())
    if np.ptp(sample) == 0:
        return MeanInterval(mean, mean, mean, sample.size)
    interval = bootstrap(
        (sample,),
        np.mean,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return MeanInterval(mean, float(interval.low), float(interval.high), sample.size)
