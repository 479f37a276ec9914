"""What the definition of a metric holds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "one"]  # one: 1 is the aim, both sides of it are worse


@dataclass(frozen=True)
class MetricDefinition:
    """text: one line: library, resize, channels, unit, paper. better: None for what is no score.

    measure: gives a picture's value from it and its truth, or a clip's from it and its source;
        None where more is needed, and the scorer has it.
    """

    text: str
    better: Better | None
    measure: Callable[..., float] | None = None
