"""How far raters agree: Krippendorff's alpha for nominal values."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence


def nominal_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha, 1 - D_o / D_e; 1 is full agreement, 0 what chance gives.

    D_o: how often two values of one unit differ, D_e: of all values whatever their unit, each
    without repetition (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, C). Raters
    may be missing; a unit with fewer than two values says nothing and is left out.

    Args:
        units: for each thing rated the values it was given, in any order.
    Returns None where it is undefined: nothing to pair, or all values alike.
    """
    rated = [Counter(values) for values in units if len(values) > 1]
    totals = sum(rated, Counter[Hashable]())
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    if expected == 0:
        return None
    observed = 0.0
    for counts in rated:
        m = counts.total()
        observed += (m * m - sum(count * count for count in counts.values())) / (m - 1)
    return 1 - (n - 1) * observed / expected
