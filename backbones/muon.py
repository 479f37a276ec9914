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


def orthogonalise(matrices: Tensor, iterations: int = 4) -> Tensor:
    """(n, rows, columns): the nearest semi-orthogonal matrices, roughly.

    Large singular values end in 0.6 to 1.3, which is all Muon needs: hence bfloat16, several times
    faster where the processor has it, and four iterations instead of the usual five.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Parameters need at least two dimensions. Those of one shape are stepped together."""

    def __init__(
        self, parameters: Iterable[Tensor], *, lr: float, momentum: float = 0.95, decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.flatten(1).shape, []).append(parameter)
            for parameters in alike.values():
                self._update(parameters, group)

    def _update(self, parameters: list[Tensor], group: dict[str, float]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        momenta = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(gradients, momenta, group["momentum"])
        updates = orthogonalise(torch.stack([update.flatten(1) for update in nesterov]))
        updates *= -group["lr"] * _RMS_OF_ADAM * max(updates.shape[1:]) ** 0.5
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["decay"])
        shaped = [update.view_as(p) for update, p in zip(updates, parameters, strict=True)]
        torch._foreach_add_(parameters, shaped)
