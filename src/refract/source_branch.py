"""The reusable source branch of an edit: source latents and v_q of every step.

v_q depends on the clip, its prompt, the seed and the schedule only, so a sweep over products,
target prompts or reference settings computes it once and each further edit costs two forward
passes a step instead of three.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from refract.flowalign import noised_sources


@dataclass(frozen=True)
class SourceBranch:
    """x_src: (1, c, f, h, w) float32. velocities: (steps, 1, c, f, h, w), in the model's type."""

    x_src: Tensor
    velocities: Tensor

    def replay(self, step: int, _q: Tensor, _sigma: float) -> Tensor:
        """v_q of a step, to the bit as it was computed; a `SourceVelocity` for the sampler."""
        return self.velocities[step].to(self.x_src)

    def save(self, path: Path) -> None:
        tensors = {"x_src": self.x_src, "velocities": self.velocities}
        save_file({name: x.cpu().contiguous() for name, x in tensors.items()}, path)

    @classmethod
    def load(cls, path: Path, device: str) -> "SourceBranch":
        return cls(**load_file(path, device=device))


def compute_source_branch(
    velocity: Callable[[Tensor, float], Tensor],
    x_src: Tensor,
    sigmas: Sequence[float],
    seed: int,
    dtype: torch.dtype,
) -> SourceBranch:
    """Evaluate v_q at every step, with the very noise an edit with this seed will draw.

    dtype: the type the model computes in; `velocity` may return it widened, nothing is lost.
    """
    noised = noised_sources(x_src, sigmas, torch.Generator().manual_seed(seed))
    velocities = [
        velocity(q, sigma).to(dtype) for q, sigma in zip(noised, sigmas[:-1], strict=True)
    ]
    return SourceBranch(x_src, torch.stack(velocities))
