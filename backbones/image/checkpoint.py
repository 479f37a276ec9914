"""Resume files of the image recipes: every tensor and counter of a run in one safetensors file."""

import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def save_run(
    path: Path,
    step: int,
    model: torch.nn.Module,
    average: dict[str, Tensor],
    optimisers: list[torch.optim.Optimizer],
) -> None:
    """Write weights, their moving average, optimiser states and the random state, atomically."""
    tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average/{k}": v for k, v in average.items()}
    for i, optimiser in enumerate(optimisers):
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{i}/{index}/{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors["random"] = torch.get_rng_state()
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    owned = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(owned, partial, metadata={"step": json.dumps(step)})
    os.replace(partial, path)


def load_run(
    path: Path,
    model: torch.nn.Module,
    average: dict[str, Tensor],
    optimisers: list[torch.optim.Optimizer],
) -> int:
    """Restore what `save_run` wrote into the given objects; returns the step."""
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        step = int(json.loads(file.metadata()["step"]))
    model.load_state_dict(_below(tensors, "model/"))
    for key, value in _below(tensors, "average/").items():
        average[key].copy_(value)
    for i, optimiser in enumerate(optimisers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, f"optimiser/{i}/").items():
            index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    torch.set_rng_state(tensors["random"])
    return step


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: t for key, t in tensors.items() if key.startswith(prefix)}
