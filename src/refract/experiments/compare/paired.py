"""Paired differences over common items, with what tells them from noise.

Intervals are percentile bootstraps over items (`refract.evaluation.measures.bootstrap`). p-values
are of the sign-flip test of the mean (Fisher's randomisation test of paired data), corrected by
Holm (1979).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests

from refract.evaluation.directions import Direction, direction_of
from refract.evaluation.measures.bootstrap import MeanInterval, mean_interval

LEVEL = 0.05
# Of fewer items not even the most extreme assignment of signs has a two-sided p below LEVEL:
# 2 / 2^5 = 0.0625.
LEAST_ITEMS = 6
_BATCH = 1000  # sign assignments in memory at once

Verdict = Literal["better", "worse", "higher", "lower", "within noise", "too few items"]
DirectionOf = Callable[[str], Direction | None]


@dataclass(frozen=True)
class Resampling:
    """How intervals and p-values are drawn; the same settings give the same numbers."""

    resamples: int = 10_000
    seed: int = 0

    def interval(self, values: np.ndarray) -> MeanInterval | None:
        return mean_interval(values.tolist(), resamples=self.resamples, seed=self.seed)


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
    """Every metric that both tables have for common items (index item, columns metric).

    A metric whose aim is a number, as 1 for a ratio to the source, is judged by the distances to
    it; the difference shown is that of the values.
    """
    items = a.index.intersection(b.index)
    metrics = [metric for metric in a.columns if metric in b.columns]
    found = (_difference(m, a.loc[items, m], b.loc[items, m], how, direction(m)) for m in metrics)
    return [difference for difference in found if difference is not None]


def _difference(
    metric: str, a: pd.Series, b: pd.Series, how: Resampling, direction: Direction | None
) -> Difference | None:
    both = a.notna() & b.notna()
    old, new = a[both].to_numpy(float), b[both].to_numpy(float)
    difference = how.interval(new - old)
    if difference is None:
        return None
    losses = new - old
    if direction is not None:
        losses = direction.badness(new) - direction.badness(old)
    loss = how.interval(losses)
    assert loss is not None  # as many values as above
    verdict = _verdict(loss, directed=direction is not None)
    p = sign_flip_p(losses, how)
    return Difference(metric, direction, old.mean(), new.mean(), difference, verdict, p)


def _verdict(loss: MeanInterval, *, directed: bool) -> Verdict:
    if loss.count < LEAST_ITEMS:
        return "too few items"
    if loss.low > 0:
        return "worse" if directed else "higher"
    if loss.high < 0:
        return "better" if directed else "lower"
    return "within noise"


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
