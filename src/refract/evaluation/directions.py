"""Which way a metric gets better, by its definition."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Way = Literal["higher", "lower", "nearer"]


@dataclass(frozen=True)
class Direction:
    """`higher` or `lower` is better, or `nearer` to `aim`."""

    way: Way
    aim: float = 0.0

    def badness(self, values: np.ndarray) -> np.ndarray:
        """What is to become small: monotone in how bad a value is."""
        if self.way == "nearer":
            return np.abs(values - self.aim)
        return values if self.way == "lower" else -values

    def __str__(self) -> str:
        return f"nearer {self.aim:g}" if self.way == "nearer" else self.way


HIGHER, LOWER, NEARER_ONE = Direction("higher"), Direction("lower"), Direction("nearer", 1.0)
_BY_NAME = {"higher": HIGHER, "lower": LOWER, "one": NEARER_ONE, None: None}


def direction_of(metric: str) -> Direction | None:
    """The direction of a metric's dotted key by its definition; None for one that has none."""
    # Not above: the definitions stand beside the code that measures, which loads for seconds.
    from refract.evaluation.edits.definitions import EDIT_METRICS
    from refract.evaluation.infrared.definitions import definition_of

    definition = EDIT_METRICS.get(metric) or definition_of(metric)
    return None if definition is None else _BY_NAME[definition.better]
