"""The reusable source branch of an edit: source latents and the source's velocity at every step.

v_q depends on the clip, its prompt, the seed and the schedule only, so a sweep over products,
target prompts or reference settings computes it once, and each further FlowAlign edit costs two
forward passes a step instead of three, each further FlowEdit edit two instead of four.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from refract.editing.samplers.noise_levels import noised_sources
from refract.editing.samplers.windows import PassVelocity, WindowedVelocity

# How v_q is guided; `none` is a sampler without a source branch.
SourceGuidance = Literal["none", "unguided", "guided"]


@dataclass(frozen=True)
class SourceBranch:
    """x_src: (1, c, f, h, w) float32. velocities: (steps, 1, c, f, h, w); no steps for SDEdit."""

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
    velocity: Callable[[Tensor, float], Tensor] | None,
    x_src: Tensor,
    sigmas: Sequence[float],
    seed: int,
    dtype: torch.dtype,
    on_step: Callable[[int, float], None] | None = None,
) -> SourceBranch:
    """Evaluate v_q at every step, with the very noise an edit with this seed will draw.

    velocity: None for a sampler that has no source branch.
    dtype: to keep them in. Where they come straight from a model, the type it computes in loses
        nothing.
    on_step: called with (step, sigma) before each step.
    """
    if velocity is None:
        return SourceBranch(x_src, x_src.new_empty(0, *x_src.shape))
    noised = noised_sources(x_src, sigmas, torch.Generator().manual_seed(seed))
    velocities = []
    for step, (q, sigma) in enumerate(zip(noised, sigmas[:-1], strict=True)):
        if on_step is not None:
            on_step(step, sigma)
        velocities.append(velocity(q, sigma).to(dtype))
    return SourceBranch(x_src, torch.stack(velocities))


def source_velocity_of(
    velocity: WindowedVelocity | PassVelocity, kind: SourceGuidance, guidance: float
) -> Callable[[Tensor, float], Tensor] | None:
    """v_q(q, sigma) as a sampler takes it, None without a source branch.

    guidance: classifier-free guidance of a guided v_q, away from the negative prompt.
    """
    if kind == "none":
        return None
    if kind == "unguided":
        return velocity.at_source

    def guided(q: Tensor, sigma: float) -> Tensor:
        v_negative = velocity.at_source(q, sigma, "negative")
        return v_negative + guidance * (velocity.at_source(q, sigma) - v_negative)

    return guided
