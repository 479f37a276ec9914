"""Training checkpoints as one safetensors file: weights, optimiser states, step.

No random state is kept: the training loops draw everything from a generator seeded by
(seed, step), so that a resumed run repeats the run that was not interrupted.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def save_checkpoint(
    path: Path,
    step: int,
    modules: Mapping[str, torch.nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
) -> None:
    """Writes to a temporary name first, so a kill leaves the last checkpoint whole."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"module/{name}/{key}": value for key, value in module.state_dict().items()}
    for name, optimiser in optimisers.items():
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{name}/{index}/{key}": value for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    contiguous = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(contiguous, temporary, metadata={"step": str(step)})
    os.replace(temporary, path)


def load_checkpoint(
    path: Path,
    modules: Mapping[str, torch.nn.Module],
    optimisers: Mapping[str, torch.optim.Optimizer],
) -> int:
    """Fills modules and optimisers; returns the number of finished steps, 0 without a file."""
    if not path.exists():
        return 0
    weights: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
    states: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in optimisers}
    with safe_open(path, framework="pt") as file:
        step = int(file.metadata()["step"])
        for key in file.keys():  # noqa: SIM118  (not a dict)
            kind, name, rest = key.split("/", 2)
            if kind == "module":
                weights[name][rest] = file.get_tensor(key)
            else:
                index, entry = rest.split("/")
                states[name].setdefault(int(index), {})[entry] = file.get_tensor(key)
    for name, module in modules.items():
        module.load_state_dict(weights[name])
    for name, optimiser in optimisers.items():
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": states[name], "param_groups": groups})
    return step
