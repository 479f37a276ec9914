"""An infrared picture at full scale by the pipeline's generator: encode, Euler steps, decode."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks.full_scale_measure import Parts, measure, unless_out_of_memory
from benchmarks.full_scale_models import FILL_NAME, empty_model, random_weights
from benchmarks.full_scale_options import OptionSet, waits_on_cpu
from benchmarks.full_scale_run import NEEDS_WHOLE, OUT_OF_MEMORY, Row, Scale, full_settings
from benchmarks.full_scale_training import HALF, fill_config, random_text, training_settings
from benchmarks.timing import Timings
from refract.infrared.adapter.adapter_files import AdapterConfig, build_model, save_adapter
from refract.infrared.adapter.sampling import decode_infrared, generate_tokens
from refract.infrared.inference.generator import InfraredGenerator, Scene
from refract.models.flux_fill import options_of
from refract.params.models import InfraredModel as ModelSection
from stages.infer_ir import StageParams

ENCODE, STEPS, DECODE, STEP, PICTURE = "encode", "Euler steps", "decode", "Euler step", "picture"
_NEEDS = {
    ENCODE: (ENCODE,), STEP: (STEPS,), DECODE: (DECODE,), PICTURE: (ENCODE, STEPS, DECODE)
}  # fmt: skip


def write_random_adapter(config: AdapterConfig, scale: Scale, folder: Path) -> None:
    """An artefact as a training leaves it, made without the base's weights."""
    model = build_model(empty_model(FILL_NAME, "transformer", scale.cut), config)
    for name, parameter in list(model.named_parameters()):
        if parameter.requires_grad:
            owner, _, leaf = name.rpartition(".")
            drawn = nn.Parameter(0.01 * torch.randn(parameter.shape))
            setattr(model.get_submodule(owner), leaf, drawn)
    save_adapter(model, config, folder)


class Picture:
    """A generator with random weights, one scene of noise, and the parts of its picture."""

    def __init__(
        self, scale: Scale, section: ModelSection, config: AdapterConfig, folder: Path
    ) -> None:
        self.all_steps = full_settings(StageParams).infer_ir.steps
        self.generator = InfraredGenerator(
            folder,
            config,
            section,
            device=scale.device,
            steps=scale.steps or self.all_steps,
            batch=1,
            seed=0,
        )
        visible, semantic = (2 * torch.rand(2, 3, scale.panel_px, scale.panel_px) - 1).to(
            scale.device
        )
        self.scene = Scene("noise", visible, semantic, "noise")
        self.texts = {"noise": random_text(scale)}
        self.tokens = self.generator.encode([self.scene], self.texts)
        self.noise = self.generator.noise([self.scene], self.tokens)

    @property
    def steps(self) -> int:
        return len(self.generator.sigmas) - 1

    def calls(self) -> dict[str, Callable[[], object]]:
        made, grid = self.generator, self.generator.grid
        return {
            ENCODE: lambda: made.encode([self.scene], self.texts),
            STEPS: lambda: generate_tokens(made.model, made.sigmas, self.noise, *self.tokens),
            DECODE: lambda: decode_infrared(made.vae, self.noise, grid.rows, grid.columns),
        }


def random_picture(options: OptionSet, scale: Scale, folder: Path) -> Picture:
    """The picture with a fresh adapter in `folder`."""
    section = options.infrared(scale.dtype, scale.words)
    config = fill_config(scale, training_settings(options, section.dtype, 1), section)
    write_random_adapter(config, scale, folder)
    on_cpu = waits_on_cpu(options_of(section))
    with random_weights(scale.cut, scale.device, on_cpu=on_cpu):
        return Picture(scale, section, config, folder)


def inference_rows(options: OptionSet, scale: Scale, folder: Path) -> list[Row]:
    """Rows of encoding, one Euler step, decoding and a whole picture."""

    section = options.infrared(scale.dtype, scale.words)
    if section.step_cache is not None and scale.steps is not None:
        return [Row(HALF, options.text, PICTURE, NEEDS_WHOLE)]

    def run() -> tuple[Parts, int, int]:
        picture = random_picture(options, scale, folder)
        parts = measure(
            picture.calls(), device=scale.device, repeats=scale.repeats, clock=scale.clock
        )
        return parts, picture.steps, picture.all_steps

    found = unless_out_of_memory(run)
    if found is None:
        return [Row(HALF, options.text, "loading", OUT_OF_MEMORY)]
    return rows_of(*found, options.text)


def rows_of(parts: Parts, done: int, total: int, options: str) -> list[Row]:
    """Of a picture of `total` steps, `done` of which were run."""
    how = {STEP: f"{done} of {total} steps run", PICTURE: f"{done} of {total} steps run"}
    own = parts.timings.seconds
    rows = []
    for what, needs in _NEEDS.items():
        if parts.lacking.intersection(needs):
            rows.append(Row(HALF, options, what, OUT_OF_MEMORY))
            continue
        weights = {STEPS: total / done if what == PICTURE else 1 / done}
        rounds = zip(
            *([weights.get(name, 1) * s for s in own[name]] for name in needs), strict=True
        )
        seconds = Timings({what: [sum(values) for values in rounds]}).median(what)
        peak = parts.peak(*needs)
        rows.append(Row(HALF, options, what, how.get(what, "run"), seconds=seconds, peak=peak))
    return rows
