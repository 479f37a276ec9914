"""The edit of a clip whose self-attention sees a reference bank."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from refract.editing.reference.attention import Branches, reference_attention
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.frame_schedule import FrameSchedule
from refract.editing.reference.placed import Rope
from refract.editing.samplers.latent_edit import FlowSettings, edit_latents
from refract.editing.samplers.source_branch import SourceBranch
from refract.editing.samplers.velocity import Prompt
from refract.models.step_cache import forget_steps


@dataclass(frozen=True)
class ReferenceSettings:
    """How the reference enters: see `reference_attention`.

    steps: [start, stop) of the schedule in which it does, fractions.
    guidance: w_ref, its own guidance scale with branches `guided`.
    """

    strength: float
    mode: str
    layers: str | tuple[int, ...]
    branches: Branches
    rope: Rope
    steps: tuple[float, ...] = (0.0, 1.0)
    frame_schedule: FrameSchedule = "constant"
    guidance: float = 1.0


def edit_with_reference(
    transformer: Any,
    contexts: Mapping[Prompt, Tensor],
    source: SourceBranch,
    settings: FlowSettings,
    bank: ReferenceBank,
    reference: ReferenceSettings,
    on_step: Callable[[int, float], None] | None = None,
) -> Tensor:
    """Edited latents (1, c, f, h, w); at strength 0 bit for bit those of the plain edit.

    on_step: see `sample_flowalign`.
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
        frame_schedule=reference.frame_schedule,
    ) as active:
        if not active.present:
            return edit_latents(transformer, contexts, source, settings, on_step=on_step)

        def schedule(step: int, sigma: float) -> None:
            if on_step is not None:
                on_step(step, sigma)
            enabled = reference.steps[0] <= step / steps < reference.steps[1]
            if enabled != active.enabled:
                forget_steps(transformer)  # what blocks added with or without the reference
            active.enabled = enabled

        return edit_latents(
            transformer,
            contexts,
            source,
            settings,
            listeners=[active.at],
            ref_guidance=reference.guidance if reference.branches == "guided" else None,
            live_source=reference.branches == "all",
            share_first_source=reference.branches != "edited",
            on_step=schedule,
        )
