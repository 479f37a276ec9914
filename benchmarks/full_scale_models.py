"""FLUX.1 Fill and Wan2.1 at their true widths with random weights, through the pipeline's loaders.

    with random_weights(Cut(depth=2), "cuda"):
        model = WanModel("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", None, "bfloat16", "cuda", options)

Only the reading of files is replaced, so how a model is held and run is the pipeline's business.
Weights are drawn on the device in their final type: FLUX in float32 would take 48 GB on the way.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import refract.models.torchvision_compat  # noqa: F401  before diffusers

import torch
from accelerate import init_empty_weights
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    WanTransformer3DModel,
)
from torch import Tensor, nn

from benchmarks.true_shapes import FILL, FILL_VAE, WAN_LARGE, WAN_SMALL, WAN_VAE
from refract.models.loading import ModelSource

FILL_NAME = "black-forest-labs/FLUX.1-Fill-dev"
WAN_NAMES = {
    "1.3B": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    "14B": "Wan-AI/Wan2.1-T2V-14B-Diffusers",
}
_PARTS: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {
    (FILL_NAME, "transformer"): (FluxTransformer2DModel, FILL),
    (FILL_NAME, "vae"): (AutoencoderKL, FILL_VAE),
    (WAN_NAMES["1.3B"], "transformer"): (WanTransformer3DModel, WAN_SMALL),
    (WAN_NAMES["1.3B"], "vae"): (AutoencoderKLWan, WAN_VAE),
    (WAN_NAMES["14B"], "transformer"): (WanTransformer3DModel, WAN_LARGE),
    (WAN_NAMES["14B"], "vae"): (AutoencoderKLWan, WAN_VAE),
}
_DEPTHS = ("num_layers", "num_single_layers")
# scheduler/scheduler_config.json of FLUX.1 Fill
_SCHEDULER = {
    "base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096, "max_shift": 1.15,
    "shift": 3.0, "use_dynamic_shifting": True,
}  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """depth: layers kept of a transformer, of FLUX so many of each kind; None keeps all."""

    depth: int | None = None

    def config(self, name: str, part: str) -> tuple[Any, dict[str, Any]]:
        """Class and config of a model's part. ValueError for what is not among them."""
        if (name, part) not in _PARTS:
            raise ValueError(f"{name}/{part}: no published shape of it is known here")
        kind, config = _PARTS[name, part]
        if part == "transformer" and self.depth is not None:
            depths = {key: min(self.depth, config[key]) for key in _DEPTHS if key in config}
            config = {**config, **depths}
        return kind, config

    def keeps_all(self, name: str) -> bool:
        return self.config(name, "transformer") == Cut().config(name, "transformer")

    def words(self, name: str) -> str:
        """How many layers there are, for a table."""
        _, config = self.config(name, "transformer")
        _, whole = Cut().config(name, "transformer")
        pairs = [(config[key], whole[key]) for key in _DEPTHS if key in whole]
        kept, every = ("+".join(str(n) for n in counts) for counts in zip(*pairs, strict=True))
        return f"all {every} layers" if kept == every else f"{kept} of {every} layers"


def empty_model(name: str, part: str, cut: Cut = Cut()) -> Any:
    """A part on the `meta` device, its buffers too, frozen."""
    kind, config = cut.config(name, part)
    with torch.device("meta"):
        return kind.from_config(config).eval().requires_grad_(False)


@contextmanager
def random_weights(cut: Cut, device: str, *, on_cpu: bool = False) -> Iterator[None]:
    """Inside, every part of the models above loads with random weights, drawn on `device`.

    on_cpu: they are left in main memory, each as soon as it is drawn, as read from files.
    """

    def make(name: str, part: str, dtype: torch.dtype) -> Any:
        kind, config = cut.config(name, part)
        return random_model(kind, config, dtype, device, "cpu" if on_cpu else device)

    with _loading(make):
        yield


@contextmanager
def empty_weights(cut: Cut) -> Iterator[None]:
    """Inside, every part of the models above loads onto the `meta` device."""
    with _loading(lambda name, part, _dtype: empty_model(name, part, cut)):
        yield


def _loading(make: Callable[[str, str, torch.dtype], Any]) -> Any:
    def load(source: ModelSource, part: str, _load: object, **options: Any) -> Any:
        if part == "scheduler":
            return FlowMatchEulerDiscreteScheduler.from_config(_SCHEDULER)
        return make(source.name, part, options.get("dtype") or options["torch_dtype"])

    return patch.object(ModelSource, "load", load)


def random_model(
    kind: Any, config: dict[str, Any], dtype: torch.dtype, device: str, where: str
) -> Any:
    """A network drawn on `device` and left on `where`; float32 is what diffusers keeps so."""
    with init_empty_weights(include_buffers=False):  # rotary tables are buffers, never in files
        model = kind.from_config(config)
    float32 = set(model._keep_in_fp32_modules or ())
    generator = torch.Generator(device).manual_seed(0)
    for name, parameter in list(model.named_parameters()):
        own = dtype if float32.isdisjoint(name.split(".")) else torch.float32
        value = torch.empty(parameter.shape, dtype=own, device=device)
        owner, _, leaf = name.rpartition(".")
        drawn = _draw(leaf, value, generator).to(where)
        setattr(model.get_submodule(owner), leaf, nn.Parameter(drawn, requires_grad=False))
    return model.to(where)


def _draw(leaf: str, value: Tensor, generator: torch.Generator) -> Tensor:
    """Values by which activations neither grow nor vanish over any number of layers."""
    if leaf == "bias":
        return value.zero_()
    if leaf == "gamma" or value.ndim == 1:  # of a norm
        return value.fill_(1)
    fan_in = value.numel() // len(value)
    return value.normal_(0, 1 / math.sqrt(fan_in), generator=generator)
