"""FlowAlign of a clip whose self-attention sees a reference bank."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from refract.flowalign import Prompt, sample_flowalign
from refract.plain_edit import FlowSettings
from refract.reference_attention import Branches, Rope, reference_attention
from refract.reference_bank import ReferenceBank
from refract.source_branch import SourceBranch
from refract.wan_velocity import WanVelocity


@dataclass(frozen=True)
class ReferenceSettings:
    """How the reference enters: see `reference_attention`; steps: [start, stop) of the schedule."""

    strength: float
    mode: str
    layers: str | tuple[int, ...]
    branches: Branches
    rope: Rope
    steps: tuple[float, ...] = (0.0, 1.0)


def edit_with_reference(
    transformer: Any,
    contexts: Mapping[Prompt, Tensor],
    source: SourceBranch,
    settings: FlowSettings,
    bank: ReferenceBank,
    reference: ReferenceSettings,
) -> Tensor:
    """Edited latents (1, c, f, h, w); at strength 0 bit for bit those of the plain edit.

    Where every branch sees the reference, v_q does too and cannot be replayed.
    """
    steps = len(settings.sigmas) - 1
    with reference_attention(
        transformer,
        bank,
        strength=reference.strength,
        mode=reference.mode,
        layers=reference.layers,
        branches=reference.branches,
        rope=reference.rope,
    ) as active:
        velocity = WanVelocity(transformer, contexts, active.at)

        def schedule(step: int, _sigma: float) -> None:
            active.enabled = reference.steps[0] <= step / steps < reference.steps[1]

        def live(_step: int, q: Tensor, sigma: float) -> Tensor:
            return velocity.at_source(q, sigma)

        return sample_flowalign(
            velocity,
            source.x_src,
            settings.sigmas,
            guidance=settings.guidance,
            zeta=settings.zeta,
            generator=torch.Generator().manual_seed(settings.seed),
            source_velocity=live if reference.branches == "all" else source.replay,
            share_first_source=reference.branches != "edited",
            on_step=schedule,
        )
