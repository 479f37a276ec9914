"""Learning-rate factors of the three training phases, as a function of the step alone."""

import math
from dataclasses import dataclass
from typing import Literal

Phase = Literal["warmup", "main", "finetune"]


@dataclass(frozen=True)
class Schedule:
    """Steps of each phase; `finetune_factor` is what the learning rates fall to."""

    warmup: int
    main: int
    finetune: int
    finetune_factor: float

    def phase(self, step: int) -> Phase:
        """The phase of 0-based optimiser step `step`."""
        if step < self.warmup:
            return "warmup"
        return "main" if step < self.warmup + self.main else "finetune"

    def factor(self, step: int) -> float:
        """Learning rate relative to its setting.

        warmup: a linear ramp that reaches 1; main: 1; finetune: half a cosine down to
        `finetune_factor`. No state, so a resumed run continues exactly.
        """
        if step < self.warmup:
            return (step + 1) / self.warmup
        into = step - self.warmup - self.main
        if into < 0 or self.finetune == 0:
            return 1.0
        progress = (into + 1) / self.finetune
        falling = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.finetune_factor + (1 - self.finetune_factor) * falling
