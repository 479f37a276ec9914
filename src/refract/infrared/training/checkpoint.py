"""Checkpoints from which a training goes on exactly: safetensors and JSON, written atomically.

A checkpoint holds weights (and their average, where one is kept), optimiser state, the gradient
scaler's where there is one, and what has been logged. There is no generator state and no data
position beyond the step: every draw is a function of (seed, position), see
`refract.infrared.adapter.sample_draws`.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from refract.base.atomic import TEMPORARY_PREFIX, replace_directory
from refract.pipeline.item_store import find_damage, write_index

logger = logging.getLogger(__name__)

_TENSORS = "state.safetensors"
_FACTS = "state.json"
_PREFIX = "step_"


class CheckpointFolder:
    """The checkpoints of one training; `step` counts finished optimiser steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self,
        step: int,
        parameters: Mapping[str, Tensor],
        optimizer: torch.optim.Optimizer,
        facts: dict[str, Any],
    ) -> None:
        """Write the state after `step` steps and drop older ones; `facts` holds JSON values."""
        tensors = {f"weights/{name}": value.detach() for name, value in parameters.items()}
        moments, values = _flatten_optimizer(optimizer)
        tensors |= {f"optimizer/{name}": value for name, value in moments.items()}
        with replace_directory(self.folder / f"{_PREFIX}{step:08d}") as temporary:
            save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, temporary / _TENSORS)
            document = {"step": step, "optimizer": values, "facts": facts}
            (temporary / _FACTS).write_text(json.dumps(document, allow_nan=False))
            write_index(temporary)  # safetensors holds no checksum
        for older in self._checkpoints():
            if older.name < f"{_PREFIX}{step:08d}":
                shutil.rmtree(older)

    def restore(
        self, parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> tuple[int, dict[str, Any]]:
        """Load the newest undamaged checkpoint in place; returns (step, facts) or (0, {})."""
        for path in reversed(self._checkpoints()):
            if damage := find_damage(path, contents=True):
                logger.warning("checkpoint %s is damaged (%s); skipped", path, damage)
                continue
            tensors = load_file(path / _TENSORS)
            document = json.loads((path / _FACTS).read_text())
            with torch.no_grad():
                for name, value in parameters.items():
                    value.copy_(tensors[f"weights/{name}"])
            moments = {
                name.removeprefix("optimizer/"): value
                for name, value in tensors.items()
                if name.startswith("optimizer/")
            }
            _restore_optimizer(optimizer, moments, document["optimizer"])
            return int(document["step"]), document["facts"]
        return 0, {}

    def remove(self) -> None:
        """Delete all checkpoints, half-written ones too, after the result is safe."""
        for path in [*self._checkpoints(), *self.folder.glob(f"{TEMPORARY_PREFIX}*")]:
            shutil.rmtree(path)

    def _checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob(f"{_PREFIX}*")) if self.folder.is_dir() else []


def _flatten_optimizer(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by "parameter/name" and everything else as JSON values."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            target: dict[str, Any] = tensors if isinstance(value, Tensor) else values
            target[f"{index}/{name}"] = value
    return tensors, {"values": values, "groups": state["param_groups"]}


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], facts: dict[str, Any]
) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **facts["values"]}.items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": facts["groups"]})
