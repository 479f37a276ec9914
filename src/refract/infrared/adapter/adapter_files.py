"""The trained infrared adapter on disk: LoRA, semantic adapter and how to use them."""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import torch
from diffusers import FluxTransformer2DModel
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save_file
from torch import Tensor

from refract.base.errors import InputError
from refract.infrared.adapter.learnable_fusion import LearnableFusion
from refract.infrared.adapter.lora import (
    WEIGHTS_NAME,
    LoraSettings,
    add_lora,
    check_state,
    read_weights,
    save_lora,
    set_lora_state,
)
from refract.infrared.adapter.model import InfraredModel, Precision
from refract.infrared.adapter.semantic_attention import SemanticConditioningAdapter
from refract.infrared.adapter.semantic_conditioning import DiptychGrid
from refract.models.flux_tokens import TOKEN_PX
from refract.params.explain import explain
from refract.params.ir_adapter import Gate, MapLayout, Position, SemanticMode, Site
from refract.params.section import one_of

CONFIG_NAME = "config.json"
SEMANTIC_NAME = "semantic_adapter.safetensors"


class AdapterConfig(BaseModel):
    """config.json: how the adapter was built and what it was trained with."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    mode: SemanticMode
    layout: MapLayout
    position: Position
    gate: Gate
    site: Site
    # Bounds as in the training's settings: a damaged file shall not build a network of its own.
    layers: Annotated[int, Field(ge=1, le=8)]
    heads: Annotated[int, one_of(1, 2, 4, 8, 16)]
    fusion_alpha: Annotated[float, Field(ge=0, le=1)] | None  # as set, or as learnt
    rank: Annotated[int, Field(ge=1, le=1024)]
    alpha: Annotated[float, Field(gt=0, le=4096)]
    lora_targets: (
        Annotated[tuple[str, ...], Field(min_length=1)] | Annotated[str, Field(min_length=1)]
    )
    panel_px: Annotated[int, Field(ge=32, le=2048, multiple_of=TOKEN_PX)]
    prompt: str | None  # None: every training triptych had a caption of its own
    guidance: Annotated[float, Field(ge=0, le=100)]
    # Of the prompts: FLUX attends to their padding too
    max_sequence_length: Annotated[int, Field(ge=1, le=512)]
    precision: Precision
    model_identity: str
    training: str  # fingerprint of settings, data and code
    steps: Annotated[int, Field(ge=1)]

    @property
    def lora(self) -> LoraSettings:
        """What `add_lora` needs."""
        return LoraSettings(self.rank, self.alpha, self.lora_targets)


def build_model(
    transformer: FluxTransformer2DModel,
    config: AdapterConfig,
    fusion: LearnableFusion | None = None,
    *,
    device: str | None = None,
) -> InfraredModel:
    """Put a fresh LoRA and semantic adapter onto a base; draws from torch's global generator.

    fusion: to be trained with them, in place of the fixed `config.fusion_alpha`. device: of the
    semantic adapter, where it is not the base's, which is still to be brought there.
    """
    for parameter in add_lora(transformer, config.lora):
        parameter.data = parameter.data.float()  # small updates vanish in half precision
    adapter = None
    if config.mode == "cross_attention":
        adapter = SemanticConditioningAdapter(
            dim=transformer.config.out_channels,
            num_layers=config.layers,
            num_heads=config.heads,
            position=config.position,
            gate=config.gate,
        ).to(device or transformer.device)
    side = config.panel_px // TOKEN_PX
    return InfraredModel(
        transformer,
        adapter,
        DiptychGrid(side, side),
        site=config.site,
        layout=config.layout,
        guidance=config.guidance,
        map_as_panel=config.mode == "panel",
        precision=config.precision,
        fusion=fusion,
    )


def save_adapter(model: InfraredModel, config: AdapterConfig, folder: Path) -> None:
    """Write the artefact into an existing folder, with the alpha that was learnt, if one was."""
    save_lora(model.transformer, config.lora, folder / WEIGHTS_NAME)
    if model.adapter is not None:
        save_file(semantic_state(model.adapter), folder / SEMANTIC_NAME)
    if model.fusion is not None:
        config = config.model_copy(update={"fusion_alpha": model.fusion.alpha.item()})
    text = json.dumps(config.model_dump(mode="json"), indent=2, sort_keys=True)
    (folder / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")


def semantic_state(adapter: SemanticConditioningAdapter) -> dict[str, Tensor]:
    """The adapter's weights on the CPU."""
    return {name: x.detach().cpu().contiguous() for name, x in adapter.state_dict().items()}


def read_config(folder: Path) -> AdapterConfig:
    """config.json of an artefact; InputError where missing or not in shape."""
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise InputError(f"{path}: missing; is {folder} an output of train_ir_adapter?")
    try:
        return AdapterConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error, AdapterConfig)}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def load_adapter(
    folder: Path, load_base: Callable[[], FluxTransformer2DModel], config: AdapterConfig
) -> InfraredModel:
    """The trained model on a base from `load_base`, ready for inference.

    The files are read before the base, so that a missing or damaged one is told at once.
    Raises InputError where a weight is missing, not finite or of another shape.
    """
    lora = read_weights(folder / WEIGHTS_NAME)
    semantic = None
    if config.mode == "cross_attention":
        semantic = read_weights(folder / SEMANTIC_NAME)
    with torch.random.fork_rng():  # the initial values are overwritten below
        model = build_model(load_base(), config)
    set_lora_state(model.transformer, lora, folder / WEIGHTS_NAME)
    if model.adapter is not None and semantic is not None:
        check_state(semantic_state(model.adapter), semantic, folder / SEMANTIC_NAME)
        model.adapter.load_state_dict(semantic)
    return model.eval().requires_grad_(False)
