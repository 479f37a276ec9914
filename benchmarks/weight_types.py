"""What fewer bits of the image model's weights cost: memory, velocity, pictures, training time.

python -m benchmarks.weight_types --adapter out/ir_adapter

The same adapter on the base as it is and on the base in other types, side by side: the error of
the velocity relative to its norm over all steps of some test scenes, the PSNR of the pictures, and
the time of a forward and backward pass of one diptych, where the type can train.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.step_cache import CachedPictures, InfraredParams
from benchmarks.tables import describe_machine, markdown_table
from benchmarks.timing import CLOCKS, Timings, add_measuring_options, time_interleaved
from refract.evaluation.measures.image import psnr, to_unit
from refract.infrared.inference.generator import SceneTokens
from refract.models.determinism import make_deterministic
from refract.models.quantised_base import stored_bytes
from refract.params.whole import load_stage_params
from refract.pipeline.device import pick_device

State = tuple[Tensor, Tensor, SceneTokens]  # x_t, t, conditioning

_PLAIN = "as it is"
_TYPES: Mapping[str, Mapping[str, Any]] = {
    _PLAIN: {},
    "dtype: bfloat16": {"dtype": "bfloat16"},
    "storage_dtype: float8_e4m3fn": {"storage_dtype": "float8_e4m3fn"},
    "storage_dtype: float8_e5m2": {"storage_dtype": "float8_e5m2"},
    "quantization: nf4": {"quantization": "nf4"},
}
_TRAINED = [name for name, values in _TYPES.items() if "storage_dtype" not in values]


@torch.no_grad()
def states(plain: CachedPictures) -> list[State]:
    """Every step of the scenes' first samples."""
    chosen = []
    for scene in plain.scenes:
        tokens = plain.made.encode([scene], plain.texts)
        x_t = plain.made.noise([scene], tokens)
        for sigma, following in pairwise(plain.made.sigmas.to(x_t.device)):
            chosen.append((x_t, sigma[None], tokens))
            x_t = x_t + (following - sigma) * plain.made.model(x_t, sigma[None], *tokens)
    return chosen


@torch.no_grad()
def velocity_error(made: CachedPictures, plain: CachedPictures, at: list[State]) -> float:
    """Norm of the difference over norm of the velocity, mean over the states."""
    errors = []
    for x_t, t, tokens in at:
        expected = plain.made.model(x_t, t, *tokens)
        difference = made.made.model(x_t, t, *tokens) - expected
        errors.append((difference.norm() / expected.norm()).item())
    return sum(errors) / len(errors)


def training_pass(made: CachedPictures, at: State) -> Callable[[], None]:
    """Forward and backward, with the LoRA's gradients."""
    x_t, t, tokens = at
    model = made.made.model
    weights = [p for name, p in model.named_parameters() if "lora_" in name]

    def step() -> None:
        for weight in weights:
            weight.requires_grad_(True)
        model(x_t, t, *tokens).square().mean().backward()
        for weight in weights:
            weight.grad = None
            weight.requires_grad_(False)

    return step


def row(
    name: str, made: CachedPictures, plain: CachedPictures, at: list[State], timings: Timings
) -> list[object]:
    """Memory of the base alone, errors against `plain`, and time."""
    lora = sum(p.nbytes for n, p in made.transformer.named_parameters() if "lora_" in n)
    value = psnr(to_unit(made.pictures(None)), to_unit(plain.pictures(None)))
    time: list[object] = ["", ""]
    if name in _TRAINED:
        time = [timings.ratio(name, _PLAIN), timings.ratio_range(name, _PLAIN)]
    error = velocity_error(made, plain, at)
    held = (stored_bytes(made.transformer) - lora) / 2**20
    return [name, held, error, "" if name == _PLAIN else f"{value:.1f}", *time]


def main() -> None:
    options = _parse()
    make_deterministic(0, threads=options.threads)
    params = load_stage_params(InfraredParams, options.params)
    with tempfile.TemporaryDirectory() as state:
        os.environ["REFRACT_STATE"] = state  # leave the real store alone
        made = {}
        for name, values in _TYPES.items():
            section = params.infrared_model.model_copy(update=values)
            own = params.model_copy(update={"infrared_model": section})
            made[name] = CachedPictures(own, options.adapter, options.triptychs, options.scenes)
        at = states(made[_PLAIN])
        timings = time_interleaved(
            {name: training_pass(made[name], at[0]) for name in _TRAINED},
            repeats=options.repeats,
            device=pick_device(),
            clock=CLOCKS[options.clock],
        )
        rows = [row(name, changed, made[_PLAIN], at, timings) for name, changed in made.items()]
    print(
        f"{describe_machine(pick_device(), params.infrared_model.dtype)}; {options.scenes} scenes, "
        f"{params.infer_ir.steps} steps, {options.repeats} interleaved rounds, "
        f"{options.clock} clock"
    )
    header = [
        "weights",
        "MiB",
        "velocity error",
        "PSNR, dB",
        "training pass, x",
        "lowest to highest",
    ]
    print(markdown_table(header, rows))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter", type=Path, default=Path("out/ir_adapter"))
    parser.add_argument("--triptychs", type=Path, default=Path("out/triptychs"))
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    add_measuring_options(parser, repeats=5, clock="cpu", threads=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
