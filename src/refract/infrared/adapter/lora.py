"""LoRA on a FLUX transformer: insertion, and a file that `load_lora_weights` of diffusers reads."""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from refract.base.errors import InputError

WEIGHTS_NAME = "pytorch_lora_weights.safetensors"  # the name diffusers looks for in a folder
_PREFIX = "transformer."
_ADAPTER = "default"


@dataclass(frozen=True)
class LoraSettings:
    """targets: module names (matched as suffixes) or one regular expression of full names."""

    rank: int
    alpha: float
    targets: Sequence[str] | str


def add_lora(transformer: FluxTransformer2DModel, settings: LoraSettings) -> list[nn.Parameter]:
    """Insert a LoRA that changes nothing yet (B = 0); returns its trainable parameters.

    Raises InputError where a target matches no linear layer.
    """
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=_pattern(resolve_targets(transformer, settings.targets)),
    )
    transformer.add_adapter(config, _ADAPTER)
    return [parameter for parameter in transformer.parameters() if parameter.requires_grad]


def lora_state(transformer: FluxTransformer2DModel) -> dict[str, Tensor]:
    """The LoRA weights by diffusers' names, on the CPU."""
    state = get_peft_model_state_dict(transformer, adapter_name=_ADAPTER)
    return {_PREFIX + name: value.detach().cpu().contiguous() for name, value in state.items()}


def set_lora_state(
    transformer: FluxTransformer2DModel, state: dict[str, Tensor], source: object
) -> None:
    """Load weights of `lora_state` into an inserted LoRA; InputError (naming `source`) if unfit."""
    check_state(lora_state(transformer), state, source)
    bare = {name.removeprefix(_PREFIX): value for name, value in state.items()}
    set_peft_model_state_dict(transformer, bare, adapter_name=_ADAPTER)


def save_lora(transformer: FluxTransformer2DModel, settings: LoraSettings, path: Path) -> None:
    """Write the LoRA with its rank and alpha, as diffusers' `save_lora_weights` does.

    One metadata key only: safetensors does not keep the order of several, and equal trainings
    shall give equal bytes.
    """
    state = lora_state(transformer)
    modules = sorted({name.removeprefix(_PREFIX).split(".lora_")[0] for name in state})
    facts = {"r": settings.rank, "lora_alpha": settings.alpha, "target_modules": _pattern(modules)}
    metadata = json.dumps({_PREFIX + key: value for key, value in facts.items()}, sort_keys=True)
    save_file(dict(sorted(state.items())), path, metadata={LORA_ADAPTER_METADATA_KEY: metadata})


def read_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file of finite weights; InputError where missing, damaged or not finite."""
    if not path.is_file():
        raise InputError(f"{path}: missing adapter file")
    try:
        with safe_open(path, "pt"):
            state = load_file(path)
    except Exception as error:  # safetensors raises its own SafetensorError, not an OSError
        raise InputError(f"{path}: not a safetensors file ({error})") from error
    for name, value in state.items():
        if not value.is_floating_point():
            raise InputError(f"{path}: {name} is {value.dtype}, must be of a floating point type")
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{path}: {name} holds NaN or infinite values")
    return state


def check_state(expected: dict[str, Tensor], state: dict[str, Tensor], source: object) -> None:
    """InputError at the first name or shape in which `state` differs from what the model wants."""
    for name in sorted(expected.keys() ^ state.keys()):
        side = "missing" if name in expected else "not part of this model"
        raise InputError(f"{source}: {name} is {side}; was it trained for another base model?")
    for name, value in expected.items():
        if state[name].shape != value.shape:
            raise InputError(
                f"{source}: {name} has shape {tuple(state[name].shape)}, this base model needs "
                f"{tuple(value.shape)}"
            )


def resolve_targets(transformer: nn.Module, targets: Sequence[str] | str) -> list[str]:
    """Full names of the linear layers that `targets` means; InputError where one means none."""
    linears = [name for name, part in transformer.named_modules() if isinstance(part, nn.Linear)]
    if isinstance(targets, str):
        try:
            pattern = re.compile(targets)
        except re.error as error:
            raise InputError(f"ir_adapter.lora_targets: pattern {targets!r}: {error}") from error
        matched = [name for name in linears if pattern.fullmatch(name)]
        if not matched:
            raise InputError(f"ir_adapter.lora_targets: {targets!r} matches no linear layer")
        return matched
    for target in targets:
        if not any(_is_suffix(target, name) for name in linears):
            known = sorted({re.sub(r"^.*blocks\.\d+\.", "", name) for name in linears})
            raise InputError(
                f"ir_adapter.lora_targets: {target!r} is no linear layer of this transformer; "
                f"it has {', '.join(known)}"
            )
    return [name for name in linears if any(_is_suffix(target, name) for target in targets)]


def _is_suffix(target: str, name: str) -> bool:
    return name == target or name.endswith("." + target)


def _pattern(modules: Sequence[str]) -> str:
    """Exactly these modules. As a list, peft would take each name as a suffix of others."""
    return "|".join(re.escape(name) for name in modules)
