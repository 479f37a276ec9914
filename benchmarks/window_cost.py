"""Time and memory of one velocity of a long clip, in windows against one pass, side by side.

python -m benchmarks.window_cost --frames 253 --repeats 5 --clock cpu

The micro model is measured; for Wan2.1-1.3B at 832x480 operations are counted (a block's formula,
which a test holds to torch's counter).
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.memory import live_peak_bytes
from benchmarks.tables import describe_machine, markdown_table
from benchmarks.timing import CLOCKS, add_measuring_options, time_interleaved
from benchmarks.wan_step import Shape, step_flops
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.editing.samplers.windows import Windowed, WindowedVelocity
from refract.models.determinism import make_deterministic
from refract.models.wan import WanModel

_WHOLE = "one pass"


def velocities(transformer: Any, divisions: dict[str, Windowed | None]) -> dict[str, Any]:
    """Name -> the velocity of a clip x at one noise level."""
    context = torch.randn(1, 16, transformer.config.text_dim)
    once = WanVelocity(transformer, {"target": context})
    return {
        name: partial(WindowedVelocity(once, windowed), sigma=0.5, prompt="target")
        for name, windowed in divisions.items()
    }


def arithmetic(length: int, full: Windowed) -> float:
    """Operations of Wan2.1-1.3B in windows over those in one pass."""
    windows = full.plan(length)
    return sum(step_flops(Shape(len(w.frames)), 1) for w in windows) / step_flops(Shape(length), 1)


def main() -> None:
    options = _parse()
    make_deterministic(0, threads=options.threads)
    transformer = WanModel(str(options.model), None, "float32", "cpu").transformer
    length = 1 + (options.frames - 1) // 4
    divisions = {_WHOLE: None} | {f"overlap {n}": Windowed(5, n) for n in (1, 2, 3)}
    x: Tensor = torch.randn(1, transformer.config.in_channels, length, 12, 12)
    with torch.inference_mode():
        calls = {n: partial(v, x) for n, v in velocities(transformer, divisions).items()}
        clock = CLOCKS[options.clock]
        timings = time_interleaved(calls, repeats=options.repeats, clock=clock)
        memory = {name: live_peak_bytes(call) for name, call in calls.items()}
    rows: list[list[object]] = [
        [
            name,
            len(windowed.plan(length)) if windowed else 1,
            timings.median(name),
            timings.ratio(name, _WHOLE),
            timings.ratio_range(name, _WHOLE),
            memory[name] / 2**20,
            memory[name] / memory[_WHOLE],
        ]
        for name, windowed in divisions.items()
    ]
    print(
        f"{describe_machine('cpu', 'float32')}; {options.frames} frames of 96x96, {length} latents"
    )
    header = [
        "windows of 5 latents",
        "passes",
        "s",
        "time, x",
        "lowest to highest",
        "MiB",
        "MiB, x",
    ]
    print(markdown_table(header, rows))
    for overlap in (2, 4):
        ratio = arithmetic(length, Windowed(21, overlap))
        print(f"Wan2.1-1.3B, windows of 21 latents, overlap {overlap}: operations x {ratio:.2f}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=253, help="of the clip, 4k + 1")
    parser.add_argument("--model", type=Path, default=Path("backbones/wan-micro"))
    add_measuring_options(parser, repeats=5, clock="cpu", threads=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
