"""Plain FlowAlign of a clip on a stored source branch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from refract.flowalign import Prompt, sample_flowalign
from refract.source_branch import SourceBranch
from refract.wan_velocity import WanVelocity


@dataclass(frozen=True)
class FlowSettings:
    """sigmas: K + 1 noise levels. guidance: w. zeta: pull to the source. seed: of every eps."""

    sigmas: Sequence[float]
    guidance: float
    zeta: float
    seed: int


def edit_plain(
    transformer: Any,
    contexts: Mapping[Prompt, Tensor],
    source: SourceBranch,
    settings: FlowSettings,
) -> Tensor:
    """Edited latents (1, c, f, h, w) without any reference."""
    return sample_flowalign(
        WanVelocity(transformer, contexts),
        source.x_src,
        settings.sigmas,
        guidance=settings.guidance,
        zeta=settings.zeta,
        generator=torch.Generator().manual_seed(settings.seed),
        source_velocity=source.replay,
    )
