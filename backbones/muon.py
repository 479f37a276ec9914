"""Muon (orthogonalised momentum) for matrices and convolution kernels.

`torch.optim.Muon` takes matrices only; here a kernel (out, in, ...) is one matrix
(out, in * ...). The step has the root mean square of an Adam step, so that one learning rate
serves both. Newton-Schulz coefficients: Keller Jordan, "Muon", 2024.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_RMS_OF_ADAM = 0.2


def orthogonalise(matrix: Tensor, iterations: int = 4) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly: large singular values end in 0.6 to 1.3.

    Four iterations, not the usual five: on a CPU they are a fifth of a training step.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Parameters need at least two dimensions."""

    def __init__(
        self, parameters: Iterable[Tensor], *, lr: float, momentum: float = 0.95, decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None:
                    self._update(parameter, gradient, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, float]) -> None:
        state = self.state[parameter]
        momentum = state.setdefault("momentum", torch.zeros_like(parameter))
        momentum.lerp_(gradient, 1 - group["momentum"])
        nesterov = gradient.lerp(momentum, group["momentum"]).flatten(1)
        scale = _RMS_OF_ADAM * max(nesterov.shape) ** 0.5
        parameter.mul_(1 - group["lr"] * group["decay"])
        update = orthogonalise(nesterov).view_as(parameter)
        parameter.add_(update, alpha=-group["lr"] * scale)
