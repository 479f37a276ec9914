"""The reference bank: keys and values of a product image, one pair for each self-attention layer.

Keys are stored after `norm_k` and before the rotary position, so that the position can be chosen
when the bank is read. On disk a bank is one safetensors file; its header holds the facts that
decide whether it fits a model.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from refract.base.atomic import write_atomic
from refract.base.errors import InputError

FORMAT = "refract reference bank 1"
_HEADER = "reference_bank"
_KEY, _VALUE, _POSITIONS = "key", "value", "positions"
_MEAN, _DEVIATION = "mean", "deviation"

LayerTensors = dict[int, dict[str, Tensor]]


@dataclass(frozen=True)
class ReferenceBank:
    """Reference tokens of every self-attention layer.

    layers: {layer: {"key": (tokens, heads, head_dim), "value": the same}}, layer counted from 0.
    positions: (tokens, 2) row and column of each token in the image's token grid, float32; the
        tokens of the backdrop are absent, pooled tokens stand at the mean of their window.
    statistics: {layer: {"mean": (channels,), "deviation": the same}} over the product's tokens of
        the layer's output, for the modes with adain; may be empty.
    facts: what the bank was made from: model, depth, sigmas, image, prompt, grid, foreground, ...
    path: the file it was read from, for messages.
    """

    layers: LayerTensors
    positions: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)
    statistics: LayerTensors = field(default_factory=dict)
    path: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        problem = _find_problem(self.layers, self.positions) or _statistics_problem(self.statistics)
        if problem:
            raise InputError(f"reference bank: {problem}")

    @property
    def tokens(self) -> int:
        """Number of reference tokens, the same in every layer; 0 for an empty bank."""
        return self.positions.shape[0]

    def save(self, path: Path) -> None:
        """Write the bank as one safetensors file, complete or not at all."""
        tensors = {_POSITIONS: self.positions.float().contiguous()}
        for kinds in (self.layers, self.statistics):
            for layer, pair in kinds.items():
                tensors |= {f"blocks.{layer}.{name}": x.contiguous() for name, x in pair.items()}
        # One metadata key only: safetensors does not keep the order of several, and equal banks
        # shall be equal files.
        header = {"format": FORMAT, "facts": dict(self.facts)}
        metadata = {_HEADER: json.dumps(header, sort_keys=True)}
        write_atomic(Path(path), lambda temporary: save_file(tensors, temporary, metadata))

    @classmethod
    def load(cls, path: Path, device: str | torch.device = "cpu") -> "ReferenceBank":
        """Read a bank; InputError where the file is missing, damaged or not a bank."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"reference bank {path}: no such file; run extract_ref_banks first")
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = _read_facts(metadata.get(_HEADER, "{}"))
            positions = tensors.pop(_POSITIONS)
            pairs = _nested(tensors, (_KEY, _VALUE))
            statistics = _nested(tensors, (_MEAN, _DEVIATION))
            return cls(pairs, positions, facts, statistics, path)
        except InputError as error:
            fault = str(error).removeprefix("reference bank: ")
            raise InputError(f"reference bank {path}: {fault}") from error
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"reference bank {path}: damaged or not a bank ({error}); extract it again"
            ) from error

    def check_fits(self, depth: int, heads: int, head_dim: int) -> None:
        """InputError unless the bank was recorded in a transformer of this depth and width."""
        if not self.layers:
            return
        bank = "reference bank" if self.path is None else f"reference bank {self.path}"
        pair = next(iter(self.layers.values()))
        recorded = self.facts.get("depth", depth)
        if max(self.layers) >= depth or recorded != depth:
            raise InputError(
                f"{bank}: recorded in a model of {recorded} layers "
                f"(highest is {max(self.layers)}), but this model has {depth}; extract it again"
            )
        if tuple(pair[_KEY].shape[1:]) != (heads, head_dim):
            had = " x ".join(str(length) for length in pair[_KEY].shape[1:])
            raise InputError(
                f"{bank}: holds {had} heads x width, but this model has "
                f"{heads} x {head_dim}; extract it again"
            )


def _read_facts(header: str) -> dict[str, Any]:
    """The facts in a header; ValueError or KeyError where there are none, or not as written."""
    content = json.loads(header)
    if not isinstance(content, dict):
        raise ValueError(f"its header is a {type(content).__name__}, must be an object")
    if content.get("format") != FORMAT:
        raise InputError(
            f"its format is {content.get('format')!r}, not {FORMAT!r}; extract it again"
        )
    facts = content["facts"]
    if not isinstance(facts, dict):
        raise ValueError(f"its facts are a {type(facts).__name__}, must be an object")
    if not isinstance(facts.get("depth", 0), int):
        raise ValueError(f"its depth is {facts['depth']!r}, must be a whole number")
    sigmas = facts.get("sigmas", [])
    if not isinstance(sigmas, list) or not all(isinstance(x, int | float) for x in sigmas):
        raise ValueError(f"its sigmas are {sigmas!r}, must be a list of numbers")
    return facts


def _nested(tensors: Mapping[str, Tensor], kinds: tuple[str, str]) -> LayerTensors:
    """Layer -> kind -> tensor, for the tensors of these kinds."""
    layers: LayerTensors = {}
    for name, tensor in tensors.items():
        blocks, layer, kind = name.split(".")
        if blocks != "blocks" or kind not in (_KEY, _VALUE, _MEAN, _DEVIATION):
            raise ValueError(f"unexpected tensor {name}")
        if kind in kinds:
            layers.setdefault(int(layer), {})[kind] = tensor
    return dict(sorted(layers.items()))


def _find_problem(layers: LayerTensors, positions: Tensor) -> str | None:
    tensors = [positions, *(tensor for pair in layers.values() for tensor in pair.values())]
    if not all(tensor.is_floating_point() for tensor in tensors):
        return "its tensors must be of floating point"
    if positions.ndim != 2 or positions.shape[1] != 2 or not positions.isfinite().all():
        return f"positions must be finite and (tokens, 2), got {tuple(positions.shape)}"
    if not layers:
        return f"{len(positions)} positions, but no layer" if len(positions) else None
    shapes = set()
    for layer, pair in layers.items():
        if pair.keys() != {_KEY, _VALUE}:
            return f"layer {layer} must hold a key and a value, got {', '.join(sorted(pair))}"
        shapes |= {tuple(tensor.shape) for tensor in pair.values()}
        if not all(tensor.isfinite().all() for tensor in pair.values()):
            return f"layer {layer} holds values that are not finite"
    shape = next(iter(shapes))
    if len(shapes) > 1 or len(shape) != 3:
        return f"every key and value must have one shape (tokens, heads, head_dim), got {shapes}"
    if shape[0] != positions.shape[0]:
        return f"{shape[0]} tokens with {positions.shape[0]} positions"
    return None


def _statistics_problem(statistics: LayerTensors) -> str | None:
    for layer, pair in statistics.items():
        if pair.keys() != {_MEAN, _DEVIATION}:
            return f"layer {layer} must hold a mean and a deviation, got {', '.join(sorted(pair))}"
        if len({tuple(x.shape) for x in pair.values()}) > 1 or pair[_MEAN].ndim != 1:
            return f"layer {layer}: mean and deviation must be (channels,)"
        if not all(x.isfinite().all() for x in pair.values()):
            return f"layer {layer} holds statistics that are not finite"
    return None
