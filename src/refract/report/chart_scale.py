"""From values to places in a drawing, and round numbers for its axis."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, log10


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] to [start, stop] drawing units."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 2)

    def ticks(self, most: int = 4) -> list[tuple[float, str]]:
        """(place, text) at round values inside the range."""
        step = round_step((self.high - self.low) / most)
        first = floor(self.low / step)
        values = [n * step for n in range(first, first + 4 * most) if _inside(n * step, self)]
        digits = max(0, -floor(log10(step) + 1e-9))
        return [(self(v), f"{v + 0.0:.{digits}f}".replace("-", "−")) for v in values]


def _inside(value: float, scale: Scale) -> bool:
    slack = 1e-9 * (scale.high - scale.low)
    return scale.low - slack <= value <= scale.high + slack


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `least` (> 0)."""
    power = 10.0 ** floor(log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def spanning(values: Iterable[float], start: float, stop: float, margin: float = 0.04) -> Scale:
    """A scale over the values with a margin; a single value stands in the middle."""
    drawn = list(values)
    low, high = min(drawn), max(drawn)
    spare = (high - low) * margin or abs(low) * 0.05 or 0.5
    return Scale(low - spare, high + spare, start, stop)
