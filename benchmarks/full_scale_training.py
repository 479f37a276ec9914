"""Steps of the infrared training at full scale, by the pipeline's own loop, on a fixed batch."""

import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import cast

import torch

from benchmarks.full_scale_measure import Call, peak_bytes, profile_table, unless_out_of_memory
from benchmarks.full_scale_models import FILL, random_weights
from benchmarks.full_scale_options import OptionSet, options_in_use
from benchmarks.full_scale_run import OUT_OF_MEMORY, Row, Scale, full_settings
from benchmarks.timing import synchronise
from refract.infrared.adapter.adapter_files import AdapterConfig, build_model
from refract.infrared.adapter.model import InfraredModel
from refract.infrared.training.checkpoint import CheckpointFolder
from refract.infrared.training.data import TrainingData
from refract.infrared.training.job import adapter_config
from refract.infrared.training.loop import Training
from refract.infrared.training.objective import Batch
from refract.models.flux_fill import TextEmbedding, load_transformer
from refract.models.flux_tokens import TOKEN_PX
from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModel as ModelSection
from stages.train_ir_adapter import StageParams

HALF = "infrared"
STEP = "training step"
_WARM = 2  # steps that are not counted
_CHANNELS, _CONDITION = FILL["out_channels"], FILL["in_channels"] - FILL["out_channels"]


class FixedBatch:
    """One batch of noise for every step; notes when a step asks for it, `TrainingData`'s way."""

    def __init__(self, batch: Batch, device: str, clock: Callable[[], float]) -> None:
        self.batch, self.device, self.clock = batch, device, clock
        self.asked: list[float] = []

    def drawn(self, _seed: int, _positions: range) -> Batch:
        synchronise(self.device)
        self.asked.append(self.clock())
        return self.batch

    def in_order(self, _batch: int) -> list[Batch]:
        return [self.batch]

    @property
    def seconds(self) -> list[float]:
        """Of the steps but the last, which is followed by validation and a checkpoint."""
        return [later - earlier for earlier, later in pairwise(self.asked)][_WARM:]


def random_batch(scale: Scale, settings: IrAdapter) -> Batch:
    """A diptych of `panel_px` and its prompt, all of it noise."""
    count, panel = settings.batch, (scale.panel_px // TOKEN_PX) ** 2
    generator = torch.Generator().manual_seed(0)
    shapes = [(2 * panel, _CHANNELS), (2 * panel, _CONDITION), (panel, _CHANNELS)]
    x_0, x_cond, semantic = (
        torch.randn(count, *shape, generator=generator).to(scale.device) for shape in shapes
    )
    return Batch(x_0, x_cond, semantic, random_text(scale, count))


def random_text(scale: Scale, count: int = 1) -> TextEmbedding:
    """A prompt's embedding in place of T5's and CLIP's."""
    generator = torch.Generator().manual_seed(1)
    return TextEmbedding(
        torch.randn(count, scale.words, FILL["joint_attention_dim"], generator=generator).to(
            scale.device
        ),
        torch.randn(count, FILL["pooled_projection_dim"], generator=generator).to(scale.device),
    )


def training_settings(options: OptionSet, dtype: str, steps: int) -> IrAdapter:
    """The full profile's, one forward pass a step, computing in the type of the weights."""
    settings = full_settings(StageParams).ir_adapter
    return settings.model_copy(
        update={
            "steps": steps,
            "accumulation": 1,
            "precision": dtype,
            "gradient_checkpointing": options.checkpointing,
        }
    )


def fill_config(scale: Scale, settings: IrAdapter, section: ModelSection) -> AdapterConfig:
    return adapter_config(
        settings,
        section,
        panel_px=scale.panel_px,
        prompt=None,
        identity="random weights",
        fingerprint="benchmark",
    )


def training_model(scale: Scale, settings: IrAdapter, section: ModelSection) -> InfraredModel:
    """The model as the stage builds it, with random weights."""
    torch.manual_seed(0)
    # A training holds all as it is, but the quantised comes layer by layer
    on_cpu = section.quantization is not None
    with random_weights(scale.cut, scale.device, on_cpu=on_cpu):
        base = load_transformer(section, scale.device)
    if settings.gradient_checkpointing:
        base.enable_gradient_checkpointing()
    return build_model(base, fill_config(scale, settings, section))


def train(model: InfraredModel, settings: IrAdapter, data: FixedBatch) -> None:
    """The pipeline's training, from its first step to its last."""
    own = cast(TrainingData, data)  # for all that the loop asks of it
    with tempfile.TemporaryDirectory(prefix="refract-benchmark-") as folder:
        Training(
            model, settings, 0, own, own, CheckpointFolder(Path(folder)), lambda _step: None
        ).run()


def training_rows(options: OptionSet, scale: Scale) -> list[Row]:
    """The row of a training step."""
    section = options.infrared(scale.dtype, scale.words)
    settings = training_settings(options, section.dtype, _WARM + scale.repeats + 1)
    ignored = options_in_use(section) - section.training_settings().keys()
    what = f"{STEP}, batch {settings.batch}, checkpointing {_on(settings.gradient_checkpointing)}"
    if ignored:
        return [
            Row(
                HALF,
                options.text,
                what,
                f"not run: {', '.join(sorted(ignored))} in inference alone",
            )
        ]
    data = FixedBatch(random_batch(scale, settings), scale.device, scale.clock)

    def run() -> int:
        model = training_model(scale, settings, section)
        return peak_bytes(lambda: train(model, settings, data), scale.device)

    peak = unless_out_of_memory(run)
    if peak is None:
        return [Row(HALF, options.text, what, OUT_OF_MEMORY)]
    how = f"{len(data.seconds)} steps run"
    return [Row(HALF, options.text, what, how, seconds=median(data.seconds), peak=peak)]


def training_profile(options: OptionSet, scale: Scale) -> str:
    """Where the time of a few training steps goes."""
    section = options.infrared(scale.dtype, scale.words)
    settings = training_settings(options, section.dtype, _WARM)
    data = FixedBatch(random_batch(scale, settings), scale.device, scale.clock)
    model = training_model(scale, settings, section)
    call: Call = lambda: train(model, settings, data)  # noqa: E731
    return profile_table(call, scale.device)


def _on(flag: bool) -> str:
    return "on" if flag else "off"
