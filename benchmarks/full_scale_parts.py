"""What `benchmarks.full_scale` measures: the pipeline's own calls, on noise.

FlowAlign's K steps take K passes of the transformer for the source branch and 2K - 1 for the edit,
whose K under the target prompt see the reference.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.training_parts import TrainingStep
from benchmarks.workspace import ROOT
from refract.editing.cases.latent_case import reference_settings
from refract.editing.reference.edit import edit_with_reference
from refract.editing.reference.extraction import extract_bank
from refract.editing.samplers.latent_edit import FlowSettings, edit_latents
from refract.editing.samplers.noise_levels import edit_sigmas
from refract.editing.samplers.source_branch import SourceBranch, compute_source_branch
from refract.editing.samplers.velocity import Prompt
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.infrared.adapter.adapter_files import AdapterConfig, build_model
from refract.infrared.adapter.fill_conditioning import encode_masked
from refract.infrared.adapter.sampling import decode_infrared, generate_tokens
from refract.infrared.training.job import adapter_config
from refract.infrared.training.objective import Batch
from refract.models.flux_fill import (
    TextEmbedding,
    load_sigmas,
    load_transformer,
    load_vae,
    options_of,
)
from refract.models.flux_tokens import TOKEN_PX
from refract.models.memory_options import memory_options
from refract.models.step_cache import step_cache
from refract.models.wan import WanModel
from refract.models.wan_latents import decode_frames, encode_frames
from refract.params.edit_stage import EditParams
from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModelParams, VideoModelParams
from refract.params.ref_bank import BankParams
from refract.params.section import SectionType
from refract.params.whole import load_stage_params
from refract.pipeline.profile import apply_profile
from stages.infer_ir import StageParams as InferParams
from stages.train_ir_adapter import StageParams as TrainParams

ENCODE, SOURCE, PLAIN, BANK, LOAD, DECODE, STEPS = (
    "encode", "source branch", "plain steps", "steps with bank", "load source branch", "decode",
    "Euler steps",
)  # fmt: skip
Calls = Mapping[str, Callable[[], object]]
Weights = Mapping[str, Mapping[str, float]]  # row of the table -> share of each part in it


@dataclass(frozen=True)
class Scale:
    """Sizes in pixels, words of a prompt. steps: run of each schedule, its last; None for all."""

    device: str
    frames: int = 49
    width: int = 832
    height: int = 480
    panel_px: int = 512
    words: int = 512
    steps: int | None = None


def full_settings(model: type[SectionType]) -> SectionType:
    """Settings of a stage under the full profile."""
    with tempfile.TemporaryDirectory(prefix="refract-benchmark-") as folder:
        params = Path(folder, "params.yaml")
        copyfile(ROOT / "params.yaml", params)
        apply_profile(params, ROOT / "profiles" / "full.yaml")
        return load_stage_params(model, params)


def all_steps() -> int:
    """Steps of the full profile's edit."""
    flow = full_settings(EditParams).flowalign
    return len(edit_sigmas(flow.steps, flow.strength, flow.shift)) - 1


class Edit:
    """The full profile's edit with a reference, of a clip and prompts of noise."""

    def __init__(self, section: VideoModelParams, scale: Scale, folder: Path) -> None:
        """folder: where the source branch is stored."""
        options = memory_options(section, "video_model")
        self.model = WanModel(section.path, section.revision, section.dtype, scale.device, options)
        self.model.check_frame(scale.width, scale.height, scale.frames)
        params = full_settings(EditParams)
        flow = params.flowalign
        # what the count of passes above holds for
        assert flow.sampler == "flowalign" and flow.region.zeta_outside is None
        assert params.ref_branches == "target" and flow.ref_steps == (0.0, 1.0)
        sigmas = edit_sigmas(flow.steps, flow.strength, flow.shift)
        self.all_steps = len(sigmas) - 1
        if scale.steps is not None:
            sigmas = sigmas[-scale.steps - 1 :]
        settings = FlowSettings(sigmas, flow.guidance, flow.zeta, params.seed)
        self.flow = replace(settings, cache_threshold=options.cache_threshold)
        self.reference = reference_settings(params, params.ref_strength)
        self.stored = folder / "source.safetensors"
        shape = (scale.frames, scale.height, scale.width, 3)
        self.clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        self.words = scale.words

    @cached_property
    def contexts(self) -> dict[Prompt, Tensor]:
        width = self.model.transformer.config.text_dim
        drawn = torch.randn(2, 1, self.words, width, generator=torch.Generator().manual_seed(0))
        source, target = drawn.to(self.model.device, self.model.dtype)
        return {"source": source, "target": target}

    @cached_property
    def x_src(self) -> Tensor:
        return encode_frames(self.model.vae, self.clip)

    @cached_property
    def source(self) -> SourceBranch:
        branch = self.branch()
        branch.save(self.stored)
        return branch

    @cached_property
    def bank(self) -> Any:
        """Of a photo as large as the frame without a backdrop: the most tokens there can be."""
        photo = encode_frames(self.model.vae, self.clip[:1])
        rows, columns = (side // 2 for side in photo.shape[-2:])
        return extract_bank(
            self.model.transformer,
            photo,
            self.contexts["target"],
            full_settings(BankParams).ref_timesteps,
            torch.ones(rows, columns, dtype=torch.bool),
            generator=torch.Generator().manual_seed(0),
        )

    def branch(self) -> SourceBranch:
        velocity = WanVelocity(self.model.transformer, self.contexts)
        with step_cache(self.model.transformer, self.flow.cache_threshold):
            return compute_source_branch(
                velocity.at_source, self.x_src, self.flow.sigmas, self.flow.seed, self.model.dtype
            )

    def plain(self) -> Tensor:
        return edit_latents(self.model.transformer, self.contexts, self.source, self.flow)

    def with_bank(self) -> Tensor:
        transformer, contexts = self.model.transformer, self.contexts
        return edit_with_reference(
            transformer, contexts, self.source, self.flow, self.bank, self.reference
        )

    def loaded(self) -> SourceBranch:
        """The source branch as a further point of a sweep finds it."""
        assert self.source is not None  # which has written it
        return SourceBranch.load(self.stored, self.model.device)

    def calls(self) -> Calls:
        """The parts, by name; an earlier one makes what a later one needs."""
        return {
            ENCODE: lambda: encode_frames(self.model.vae, self.clip),
            SOURCE: self.branch,
            PLAIN: self.plain,
            BANK: self.with_bank,
            LOAD: self.loaded,
            DECODE: lambda: decode_frames(self.model.vae, self.x_src),
        }

    def rows(self) -> Weights:
        return edit_rows(len(self.flow.sigmas) - 1, self.all_steps)


def edit_rows(done: int, total: int) -> Weights:
    """Steps and whole edits of `total` steps as sums of parts of which `done` steps were run."""
    swept = {BANK: 1 / done, PLAIN: 1 / done / (2 * done - 1)}
    with_bank = {BANK: total / done, PLAIN: (total - done) / done / (2 * done - 1)}
    first = {ENCODE: 1, SOURCE: total / done, DECODE: 1}
    return {
        ENCODE: {ENCODE: 1},
        DECODE: {DECODE: 1},
        "edit step, plain": {SOURCE: 1 / done, PLAIN: 2 / (2 * done - 1)},
        "edit step, with bank": {SOURCE: 1 / done, **swept},
        "edit step, swept": swept,
        "edit, plain": {**first, PLAIN: (2 * total - 1) / (2 * done - 1)},
        "edit, with bank": {**first, **with_bank},
        "sweep point": {LOAD: total / done, **with_bank, DECODE: 1},
    }


# What a row is held against: the edit that a reference, or a stored source branch, is added to
BASES = {
    "edit step, with bank": "edit step, plain",
    "edit step, swept": "edit step, with bank",
    "edit, with bank": "edit, plain",
    "sweep point": "edit, with bank",
}


def random_text(scale: Scale, config: Any, count: int = 1) -> TextEmbedding:
    """A prompt's embedding in place of T5's and CLIP's."""
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randn(count, scale.words, config.joint_attention_dim, generator=draw)
    pooled = torch.randn(count, config.pooled_projection_dim, generator=draw)
    return TextEmbedding(tokens.to(scale.device), pooled.to(scale.device))


def random_batch(scale: Scale, config: Any, count: int = 1) -> Batch:
    """A diptych of `panel_px` and its prompt, all of it noise."""
    panel, channels = (scale.panel_px // TOKEN_PX) ** 2, config.out_channels
    shapes = [(2 * panel, channels), (2 * panel, 5 * channels), (panel, channels)]
    draw = torch.Generator().manual_seed(0)
    x_0, x_cond, semantic = (
        torch.randn(count, *shape, generator=draw).to(scale.device) for shape in shapes
    )
    return Batch(x_0, x_cond, semantic, random_text(scale, config, count))


def training_settings(dtype: str, *, checkpointing: bool) -> IrAdapter:
    """The full profile's, computing in the type of the weights."""
    settings = full_settings(TrainParams).ir_adapter
    changes = {"precision": dtype, "gradient_checkpointing": checkpointing}
    return settings.model_copy(update=changes)


def fill_config(scale: Scale, settings: IrAdapter, section: InfraredModelParams) -> AdapterConfig:
    return adapter_config(
        settings,
        section,
        panel_px=scale.panel_px,
        prompt=None,
        identity="random weights",
        fingerprint="benchmark",
    )


def training_calls(section: InfraredModelParams, scale: Scale, *, checkpointing: bool) -> Calls:
    """One optimiser step on a fixed batch, by name."""
    settings = training_settings(section.dtype, checkpointing=checkpointing)
    torch.manual_seed(0)
    base = load_transformer(section, scale.device)
    if checkpointing:
        base.enable_gradient_checkpointing()
    step = TrainingStep(build_model(base, fill_config(scale, settings, section)), settings, 0)
    batch = random_batch(scale, base.config, settings.batch)

    def train() -> None:
        step.backward(batch)
        step.update()

    how = "on" if checkpointing else "off"
    return {f"training step, batch {settings.batch}, checkpointing {how}": train}


def picture_calls(section: InfraredModelParams, scale: Scale) -> tuple[Calls, Weights]:
    """The parts of an infrared picture, and what they add up to."""
    settings = training_settings(section.dtype, checkpointing=False)
    base = load_transformer(section, scale.device, for_inference=True)
    model = build_model(base, fill_config(scale, settings, section), device=scale.device).eval()
    model.fit_memory(options_of(section), scale.device)
    vae = load_vae(section, scale.device)
    total, grid = full_settings(InferParams).infer_ir.steps, model.grid
    sigmas = load_sigmas(section, total, 2 * grid.rows * grid.columns)
    done = min(scale.steps or total, total)
    batch = random_batch(scale, base.config)
    visible = (2 * torch.rand(1, 3, scale.panel_px, scale.panel_px) - 1).to(scale.device)
    calls: dict[str, Callable[[], object]] = {
        ENCODE: lambda: (encode_masked(vae.encode, visible), vae.encode(visible)),
        STEPS: lambda: generate_tokens(model, sigmas[-done - 1 :], *batch),
        DECODE: lambda: decode_infrared(vae, batch.x_0, grid.rows, grid.columns),
    }
    return calls, picture_rows(done, total)


def picture_rows(done: int, total: int) -> Weights:
    return {
        ENCODE: {ENCODE: 1},
        DECODE: {DECODE: 1},
        "Euler step": {STEPS: 1 / done},
        "picture": {ENCODE: 1, STEPS: total / done, DECODE: 1},
    }
