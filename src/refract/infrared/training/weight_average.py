"""An exponential moving average of trainable weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class WeightAverage:
    """average <- d average + (1 - d) weights after every step, d = min(decay, (1 + n) / (10 + n)).

    n is the number of finished steps. The ramp of d keeps the start, which knows nothing yet, from
    weighing for as long as `decay` alone would let it. `tensors` and n are the whole state.
    """

    def __init__(self, decay: float, weights: Mapping[str, Tensor]) -> None:
        """decay: in [0, 1). weights: averaged as they are at each `update`, starting now."""
        self.decay = decay
        self.weights = weights
        self.tensors = {name: weight.detach().clone() for name, weight in weights.items()}

    def decay_at(self, done: int) -> float:
        """d after `done` steps."""
        return min(self.decay, (1 + done) / (10 + done))

    @torch.no_grad()
    def update(self, done: int) -> None:
        """Take in the weights as they are after `done` steps."""
        for name, average in self.tensors.items():
            average.lerp_(self.weights[name], 1 - self.decay_at(done))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The weights hold their average inside, and their own values again after."""
        before = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.keep()
        try:
            yield
        finally:
            self._set(before)

    def keep(self) -> None:
        """Overwrite the weights by their average."""
        self._set(self.tensors)

    @torch.no_grad()
    def _set(self, values: Mapping[str, Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.copy_(values[name])
