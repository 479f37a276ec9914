"""The optimiser of the infrared training: which parameters learn how fast."""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from prodigyopt import Prodigy
from torch import Tensor

from refract.params.ir_adapter import IrAdapter

_BETAS = (0.9, 0.99)


def build_optimizer(trainable: Mapping[str, Tensor], settings: IrAdapter) -> torch.optim.Optimizer:
    """The optimiser by `settings.optimizer`; `trainable` by names in the model.

    Each group's `base_lr` is what the schedule multiplies.
    """
    groups = _parameter_groups(trainable, settings)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=_BETAS)
    prodigy: torch.optim.Optimizer = Prodigy(
        groups,
        betas=_BETAS,
        use_bias_correction=True,
        safeguard_warmup=True,  # the ramp of our schedule shall not count in its estimate
        growth_rate=sys.float_info.max,  # as good as infinity, and a checkpoint's JSON holds it
    )
    return prodigy


def _parameter_groups(trainable: Mapping[str, Tensor], settings: IrAdapter) -> list[dict[str, Any]]:
    """The groups below that have parameters."""
    decay = settings.weight_decay
    rates = {
        "lora": (settings.lr, decay),
        "semantic": (settings.semantic_lr, decay),
        "scale": (settings.scale_lr, decay),
        "fusion": (settings.scale_lr, 0.0),  # a decayed logit would pull alpha to a half
    }
    groups: dict[str, list[Tensor]] = {name: [] for name in rates}
    for name, parameter in trainable.items():
        groups[_group_of(name)].append(parameter)
    return [
        {"params": parameters, "lr": lr, "base_lr": lr, "weight_decay": own_decay}
        for parameters, (lr, own_decay) in zip(groups.values(), rates.values(), strict=True)
        if parameters
    ]


def _group_of(name: str) -> str:
    if name.startswith("fusion."):
        return "fusion"
    if not name.startswith("adapter."):
        return "lora"
    return "scale" if name.endswith(".scale") else "semantic"
