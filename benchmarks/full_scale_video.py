"""A video edit at full scale: its parts by the pipeline's own functions, and what they add up to.

FlowAlign's K steps take K passes of the transformer for the source branch and 2K - 1 for the edit,
whose K under the target prompt see the reference. Where fewer steps are run, whole edits are
computed from the time of a pass; where all are, nothing is added but the parts' times.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.full_scale_measure import Parts, measure, unless_out_of_memory
from benchmarks.full_scale_models import WAN_NAMES, random_weights
from benchmarks.full_scale_options import OptionSet, waits_on_cpu
from benchmarks.full_scale_run import NEEDS_WHOLE, OUT_OF_MEMORY, Row, Scale, full_settings
from benchmarks.timing import Timings
from refract.editing.cases.latent_case import reference_settings
from refract.editing.reference.edit import ReferenceSettings, edit_with_reference
from refract.editing.reference.extraction import extract_bank
from refract.editing.samplers.latent_edit import FlowSettings, edit_latents
from refract.editing.samplers.noise_levels import edit_sigmas
from refract.editing.samplers.source_branch import SourceBranch, compute_source_branch
from refract.editing.samplers.velocity import Prompt
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.models.memory_options import memory_options
from refract.models.step_cache import step_cache
from refract.models.wan import WanModel
from refract.models.wan_latents import decode_frames, encode_frames
from refract.params.edit_stage import EditParams
from refract.params.ref_bank import BankParams

HALF = "video"
ENCODE, SOURCE, PLAIN, BANK, LOAD, DECODE = (
    "encode", "source branch", "plain steps", "steps with bank", "load source branch", "decode"
)  # fmt: skip
STEP, STEP_BANK, STEP_SWEPT = "edit step, plain", "edit step, with bank", "edit step, swept"
EDIT, EDIT_BANK, POINT = "edit, plain", "edit, with bank", "sweep point"
_NEEDS = {
    STEP: (SOURCE, PLAIN),
    STEP_BANK: (SOURCE, PLAIN, BANK),
    STEP_SWEPT: (PLAIN, BANK),
    EDIT: (ENCODE, SOURCE, PLAIN, DECODE),
    EDIT_BANK: (ENCODE, SOURCE, PLAIN, BANK, DECODE),
    POINT: (LOAD, PLAIN, BANK, DECODE),
}
# What a row is held against: the edit that a reference, or a stored source branch, is added to
_BASES = {STEP_BANK: STEP, STEP_SWEPT: STEP_BANK, EDIT_BANK: EDIT, POINT: EDIT_BANK}


@dataclass(frozen=True)
class EditSetting:
    """What the full profile says of an edit; `steps` of its schedule are run, the last ones."""

    flow: FlowSettings
    reference: ReferenceSettings
    noise_levels: tuple[float, ...]  # of the bank
    all_steps: int

    @property
    def steps(self) -> int:
        return len(self.flow.sigmas) - 1


def edit_setting(steps: int | None) -> EditSetting:
    """The full profile's edit with a reference, all of its steps or the last `steps`."""
    params = full_settings(EditParams)
    flow = params.flowalign
    plain = flow.sampler == "flowalign" and flow.region.zeta_outside is None
    assert plain and params.ref_branches == "target" and flow.ref_steps == (0.0, 1.0)
    sigmas = edit_sigmas(flow.steps, flow.strength, flow.shift)
    kept = sigmas if steps is None else sigmas[-steps - 1 :]
    settings = FlowSettings(kept, flow.guidance, flow.zeta, params.seed)
    reference = reference_settings(params, params.ref_strength)
    levels = full_settings(BankParams).ref_timesteps
    return EditSetting(settings, reference, levels, len(sigmas) - 1)


class Edit:
    """A model with random weights, a clip and prompts of noise, and the calls that edit it."""

    def __init__(self, model: WanModel, scale: Scale, setting: EditSetting, folder: Path) -> None:
        flow = replace(setting.flow, cache_threshold=model.options.cache_threshold)
        self.model, self.setting = model, replace(setting, flow=flow)
        self.stored = folder / "source.safetensors"
        draw = np.random.default_rng(0)
        shape = (scale.frames, scale.height, scale.width, 3)
        self.clip = draw.integers(0, 256, shape, np.uint8)
        generator = torch.Generator().manual_seed(0)
        width = model.transformer.config.text_dim
        source, target = torch.randn(2, 1, scale.words, width, generator=generator).to(
            model.device, model.dtype
        )
        self.contexts: dict[Prompt, Tensor] = {"source": source, "target": target}
        model.check_frame(scale.width, scale.height, scale.frames)

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
            self.setting.noise_levels,
            torch.ones(rows, columns, dtype=torch.bool),
            generator=torch.Generator().manual_seed(0),
        )

    def branch(self) -> SourceBranch:
        velocity = WanVelocity(self.model.transformer, self.contexts)
        flow = self.setting.flow
        with step_cache(self.model.transformer, flow.cache_threshold):
            return compute_source_branch(
                velocity.at_source, self.x_src, flow.sigmas, flow.seed, self.model.dtype
            )

    def plain(self) -> Tensor:
        return edit_latents(self.model.transformer, self.contexts, self.source, self.setting.flow)

    def with_bank(self) -> Tensor:
        return edit_with_reference(
            self.model.transformer,
            self.contexts,
            self.source,
            self.setting.flow,
            self.bank,
            self.setting.reference,
        )

    def loaded(self) -> SourceBranch:
        """The source branch as a further point of a sweep finds it."""
        assert self.source is not None  # which has written it
        return SourceBranch.load(self.stored, self.model.device)

    def calls(self) -> dict[str, Callable[[], object]]:
        """The parts, by name; an earlier one makes what a later one needs."""
        return {
            ENCODE: lambda: encode_frames(self.model.vae, self.clip),
            SOURCE: self.branch,
            PLAIN: self.plain,
            BANK: self.with_bank,
            LOAD: self.loaded,
            DECODE: lambda: decode_frames(self.model.vae, self.x_src),
        }


def video_edit(
    name: str, options: OptionSet, scale: Scale, setting: EditSetting, folder: Path
) -> Edit:
    """The edit by model 1.3B or 14B; inside `random_weights`."""
    section = options.video(WAN_NAMES[name], scale.dtype, scale.words)
    held = memory_options(section, "video_model")
    model = WanModel(section.path, None, section.dtype, scale.device, held)
    return Edit(model, scale, setting, folder)


def loading(options: OptionSet, scale: Scale) -> AbstractContextManager[None]:
    """Random weights, in main memory where an option keeps them there."""
    section = options.video(WAN_NAMES["1.3B"], scale.dtype, scale.words)
    on_cpu = waits_on_cpu(memory_options(section, "video_model"))
    return random_weights(scale.cut, scale.device, on_cpu=on_cpu)


@torch.inference_mode()
def video_rows(name: str, options: OptionSet, scale: Scale, folder: Path) -> list[Row]:
    """Rows of an edit's steps, of encoding and decoding, and of whole edits."""
    setting = edit_setting(scale.steps)
    half = f"{HALF} {name}"
    section = options.video(WAN_NAMES[name], scale.dtype, scale.words)
    if section.step_cache is not None and setting.steps < setting.all_steps:
        return [Row(half, options.text, EDIT, NEEDS_WHOLE)]

    def run() -> Parts:
        with loading(options, scale):
            edit = video_edit(name, options, scale, setting, folder)
            return measure(
                edit.calls(), device=scale.device, repeats=scale.repeats, clock=scale.clock
            )

    parts = unless_out_of_memory(run)
    if parts is None:
        return [Row(half, options.text, "loading", OUT_OF_MEMORY)]
    return rows_of(parts, setting, half, options.text)


def rows_of(parts: Parts, setting: EditSetting, half: str, options: str) -> list[Row]:
    """One row each of encoding, decoding and the sums of `_NEEDS`."""
    done, total = setting.steps, setting.all_steps
    how = f"{done} of {total} steps run"
    timings = Timings(totals(parts.timings.seconds, done, total))
    rows = []
    for what, needs in {ENCODE: (ENCODE,), DECODE: (DECODE,), **_NEEDS}.items():
        if parts.lacking.intersection(needs):
            rows.append(Row(half, options, what, OUT_OF_MEMORY))
            continue
        row = Row(
            half,
            options,
            what,
            how if what in _NEEDS else "run",
            seconds=timings.median(what),
            peak=parts.peak(*needs),
        )
        base = _BASES.get(what)
        if base is not None and base in timings.seconds:
            low, high = timings.ratio_range(what, base)
            ratio = timings.ratio(what, base)
            row = replace(row, base=base, ratio=ratio, low=low, high=high)
        rows.append(row)
    return rows


def totals(seconds: Mapping[str, list[float]], done: int, total: int) -> dict[str, list[float]]:
    """Seconds of each step and whole edit whose parts are there, a value a round.

    done: steps that `seconds` are of; total: steps of a whole edit.
    """
    own = {name: np.array(values) for name, values in seconds.items()}
    if PLAIN in own:
        own["pass"] = own[PLAIN] / (2 * done - 1)
    if PLAIN in own and BANK in own:
        own["bank pass"] = (own[BANK] - (done - 1) * own["pass"]) / done
    more, scale = total - done, total / done
    formulas: dict[str, Callable[[], Any]] = {
        STEP: lambda: own[SOURCE] / done + 2 * own["pass"],
        STEP_BANK: lambda: own[SOURCE] / done + own["pass"] + own["bank pass"],
        STEP_SWEPT: lambda: own["pass"] + own["bank pass"],
        EDIT: lambda: first() + own[PLAIN] + 2 * more * own["pass"],
        EDIT_BANK: lambda: first() + with_bank(),
        POINT: lambda: scale * own[LOAD] + with_bank() + own[DECODE],
    }

    def first() -> Any:
        return own[ENCODE] + scale * own[SOURCE] + own[DECODE]

    def with_bank() -> Any:
        return own[BANK] + more * (own["pass"] + own["bank pass"])

    able = {name: form for name, form in formulas.items() if set(_NEEDS[name]) <= own.keys()}
    sums = {name: form().tolist() for name, form in able.items()}
    alone = {name: list(seconds[name]) for name in (ENCODE, DECODE) if name in seconds}
    return {**alone, **sums}
