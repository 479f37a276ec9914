"""The computations of one case on the latents of a Wan text-to-video model."""

from collections.abc import Callable
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refract.base.errors import InputError
from refract.editing.cases.outputs import PLAIN_CLIP, REFERENCE_CLIP, SOURCE_CLIP
from refract.editing.cases.request import ShotRequest
from refract.editing.cases.source_clip import read_source_clip, write_source_clip
from refract.editing.cases.user_region import read_user_region
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.edit import ReferenceSettings, edit_with_reference
from refract.editing.samplers.edited_words import edited_tokens
from refract.editing.samplers.latent_edit import (
    FlowSettings,
    GivenRegion,
    RegionSettings,
    edit_latents,
)
from refract.editing.samplers.noise_levels import edit_sigmas
from refract.editing.samplers.registry import SAMPLERS
from refract.editing.samplers.source_branch import (
    SourceBranch,
    compute_source_branch,
    source_velocity_of,
)
from refract.editing.samplers.velocity import Prompt
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.editing.samplers.windows import Windowed, WindowedVelocity
from refract.media.video_io import write_frames
from refract.models.step_cache import step_cache
from refract.models.wan import WanModel
from refract.models.wan_latents import encode_frames, stream_frames
from refract.params.edit_stage import EditParams

_SOURCE_BRANCH = "source.safetensors"


class LatentCaseEdit:
    """What the items of a case share is made once and only where it is needed."""

    def __init__(
        self,
        model: WanModel,
        request: ShotRequest,
        contexts: dict[str, Tensor],
        source_slot: Path,
        on_step: Callable[[], Any] = lambda: None,
    ) -> None:
        """contexts: prompt -> embedding. source_slot: where the source item is, once written.

        on_step: called before each step of a sampler.
        """
        flow, case = request.params.flowalign, request.case
        self._on_step: Callable[[int, float], Any] = lambda _step, _sigma: on_step()
        self.model, self.request, self.slot = model, request, source_slot
        self.contexts: dict[Prompt, Tensor] = {
            "source": contexts[case.source_prompt].to(model.device),
            "target": contexts[case.target_prompt].to(model.device),
        }
        if SAMPLERS[flow.sampler].reads_negative:
            self.contexts["negative"] = contexts[flow.negative_prompt].to(model.device)

    @cached_property
    def settings(self) -> FlowSettings:
        flow = self.request.params.flowalign
        return FlowSettings(
            edit_sigmas(flow.steps, flow.strength, flow.shift),
            flow.guidance,
            flow.zeta,
            self.request.params.seed,
            flow.sampler,
            flow.source_guidance,
            self._region(),
            self.model.options.cache_threshold,
            self._windowed(),
        )

    @cached_property
    def source(self) -> SourceBranch:
        return SourceBranch.load(self.slot / _SOURCE_BRANCH, self.model.device)

    @cached_property
    def bank(self) -> ReferenceBank:
        assert self.request.bank is not None
        return ReferenceBank.load(self.request.bank, self.model.device)

    def write_source(self, folder: Path) -> None:
        """Fit the shot to the frame, encode it and evaluate v_q at every step."""
        settings = self.settings
        write_source_clip(self.model, self.request, folder / SOURCE_CLIP)
        frames = read_source_clip(self.model, self.request, folder)
        velocity = WindowedVelocity(
            WanVelocity(self.model.transformer, self.contexts), settings.windowed
        )
        with step_cache(self.model.transformer, settings.cache_threshold):
            branch = compute_source_branch(
                source_velocity_of(velocity, settings.algorithm.source, settings.source_guidance),
                encode_frames(self.model.vae, frames),
                settings.sigmas,
                settings.seed,
                # A guided one is a sum of two velocities, which the model's own type would round
                torch.float32 if settings.algorithm.source == "guided" else self.model.dtype,
                self._on_step,
            )
        branch.save(folder / _SOURCE_BRANCH)

    def write_plain(self, folder: Path) -> None:
        """The edit without reference."""
        self._write(0.0, folder / PLAIN_CLIP)

    def write_variant(self, strength: float, folder: Path) -> None:
        """The edit with the reference at one strength other than 0."""
        self._write(strength, folder / REFERENCE_CLIP)

    def latents(self, strength: float) -> Tensor:
        """Edited latents (1, c, f, h, w) on the stored source branch; 0 is the plain edit.

        Raises InputError where they are not finite.
        """
        shared = (self.model.transformer, self.contexts, self.source, self.settings)
        if strength == 0:
            latents = edit_latents(*shared, on_step=self._on_step)
        else:
            reference = reference_settings(self.request.params, strength)
            latents = edit_with_reference(*shared, self.bank, reference, self._on_step)
        if not latents.isfinite().all():
            raise InputError(
                f"the edit diverged to values that are not finite: lower {self._strong_settings()}"
            )
        return latents

    def _strong_settings(self) -> str:
        if self.request.is_baseline:
            return f"flowalign.baselines.{self.request.sampler}.guidance"
        return "flowalign.guidance, ref_strength or flowalign.zeta"

    def _windowed(self) -> Windowed | None:
        window = self.request.params.flowalign.window
        if window.frames is None:
            return None
        return Windowed(1 + (window.frames - 1) // 4, window.overlap // 4)

    def _region(self) -> RegionSettings | GivenRegion | None:
        params, case = self.request.params, self.request.case
        region = params.flowalign.region
        if not self.request.knows_region:
            return None
        if case.region_mask is not None:
            mask = read_user_region(self.model, self.request, Path(case.region_mask))
            return GivenRegion(mask, region.zeta_outside)
        if region.zeta_outside is None:
            return None
        tokens = edited_tokens(
            self.model.tokenizer,
            case.source_prompt,
            case.target_prompt,
            region.words,
            params.video_model.max_sequence_length,
        )
        return RegionSettings(tokens, region.layers, region.threshold, region.zeta_outside)

    def _write(self, strength: float, path: Path) -> None:
        decoded = stream_frames(self.model.vae, self.latents(strength))
        frames = islice(decoded, self.request.shot.frames)  # without what packing added
        write_frames(path, frames, self.request.fps, "lossless")


def reference_settings(params: EditParams, strength: float) -> ReferenceSettings:
    """The reference of an edit at one strength, which need not be `params.ref_strength`."""
    flow = params.flowalign
    return ReferenceSettings(
        strength=strength,
        mode=params.ref_mode,
        layers=params.ref_layers,
        branches=params.ref_branches,
        rope=flow.ref_rope,
        steps=flow.ref_steps,
        frame_schedule=flow.ref_frame_schedule,
        guidance=flow.ref_guidance,
    )
