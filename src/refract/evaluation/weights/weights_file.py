"""Weights that a metric is published with, as a state dict from a file."""

import pickle
from pathlib import Path

import torch

from refract.base.errors import InputError


def read_weights(path: Path, what: str) -> dict[str, torch.Tensor]:
    """The state dict in a .safetensors or .pth file; InputError, beginning with `what`, if none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # The originals are published in this format only; weights_only runs no code from it.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{what} {path}: not readable ({reason})") from error
    if not isinstance(state, dict):
        raise InputError(f"{what} {path}: must hold a state dict")
    return state
