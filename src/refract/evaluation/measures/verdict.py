"""When a paired difference is told from noise: one rule for report, sweeps and comparisons."""

from typing import Literal

from refract.evaluation.measures.bootstrap import MeanInterval

LEVEL = 0.05
# Of fewer items not even the most extreme assignment of signs has a two-sided p below LEVEL:
# 2 / 2^5 = 0.0625.
LEAST_ITEMS = 6

Verdict = Literal["better", "worse", "higher", "lower", "within noise", "too few items"]


def verdict_of(loss: MeanInterval, *, directed: bool = True) -> Verdict:
    """What the interval of a paired difference says.

    loss: of new minus old, in terms of what is to become small (`Direction.badness`); of the values
    themselves where no direction is better, `directed` then being false.
    """
    if loss.count < LEAST_ITEMS:
        return "too few items"
    if loss.low > 0:
        return "worse" if directed else "higher"
    if loss.high < 0:
        return "better" if directed else "lower"
    return "within noise"
