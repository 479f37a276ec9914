"""Paired differences over common items, with what tells them from noise.

Intervals are percentile bootstraps over items, and over seeds where there are several
(`refract.evaluation.measures.bootstrap`). p-values are of the sign-flip test over items of the mean
(Fisher's randomisation test of paired data), corrected by Holm (1979).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests

from refract.evaluation.directions import Direction, direction_of
from refract.evaluation.measures.bootstrap import MeanInterval, Resampling, crossed_interval
from refract.evaluation.measures.verdict import LEVEL, Verdict, verdict_of

_BATCH = 1000  # sign assignments in memory at once

DirectionOf = Callable[[str], Direction | None]


@dataclass(frozen=True)
class Difference:
    """One metric of B against A over the `difference.count` items that both have.

    difference: of B - A as measured. p: of "B is neither better nor worse", uncorrected.
    """

    metric: str
    direction: Direction | None
    mean_a: float
    mean_b: float
    difference: MeanInterval
    verdict: Verdict
    p: float

    @property
    def beyond_noise(self) -> bool:
        return self.verdict not in ("within noise", "too few items")


def paired_differences(
    a: pd.DataFrame,
    b: pd.DataFrame,
    how: Resampling,
    direction: DirectionOf = direction_of,
) -> list[Difference]:
    """Every metric that both tables have for common items.

    The tables have a column a metric and the index item, or (seed, item): then items are paired
    within a seed.

    A metric whose aim is a number, as 1 for a ratio to the source, is judged by the distances to
    it; the difference shown is that of the values.
    """
    items = a.index.intersection(b.index)
    metrics = [metric for metric in a.columns if metric in b.columns]
    differences = (
        _difference(m, a.loc[items, m], b.loc[items, m], how, direction(m)) for m in metrics
    )
    return [difference for difference in differences if difference is not None]


def _difference(
    metric: str, a: pd.Series, b: pd.Series, how: Resampling, direction: Direction | None
) -> Difference | None:
    both = a.notna() & b.notna()
    old, new = by_seed(a[both]), by_seed(b[both])
    difference = crossed_interval(new - old, how)
    if difference is None:
        return None
    losses = new - old
    if direction is not None:
        losses = direction.badness(new) - direction.badness(old)
    loss = crossed_interval(losses, how)
    assert loss is not None  # as many values as above
    verdict = verdict_of(loss, directed=direction is not None)
    p = sign_flip_p(np.nanmean(losses, 0), how)
    means = (float(np.nanmean(old)), float(np.nanmean(new)))
    return Difference(metric, direction, *means, difference, verdict, p)


def by_seed(values: pd.Series) -> np.ndarray:
    """[seeds, items] of values by (seed, item), nan where there is none; [1, items] by item."""
    if values.index.nlevels == 1:
        return values.to_numpy(float)[None]
    return values.unstack("item").to_numpy(float)


def sign_flip_p(differences: np.ndarray, how: Resampling) -> float:
    """Two-sided p of the mean under random signs; exact where all 2^n assignments are few."""
    if not differences.any():
        return 1.0
    result = permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=how.resamples,
        batch=_BATCH,
        rng=np.random.default_rng(how.seed),
    )
    return float(result.pvalue)


def holm(differences: Iterable[Difference]) -> list[float]:
    """Holm's corrected p-values, in the order given."""
    values = [difference.p for difference in differences]
    return [] if not values else multipletests(values, alpha=LEVEL, method="holm")[1].tolist()
