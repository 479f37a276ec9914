"""Time and memory of a transformer step that sees a reference bank, at the shapes of Wan2.1-1.3B.

python -m benchmarks.reference_overhead --frames 3 --batch 1 2 --reference 500 1560
python -m benchmarks.reference_overhead --frames 13 --dtype bfloat16   (832x480x49, on a GPU)

A step is a forward pass of a model of one block with random weights. Against the stock step, and
against the reference expanded and concatenated at every call (`benchmarks.concat_attention`).
`--what layer` leaves out all but the self-attention, the only part that differs. "bare" is what no
form of the layer can do without: its four projections and the two attention kernels.

The added share is what the reference must cost at the least: the time of attention of the same
queries over its keys, the kernel alone, over the time of the stock step.
"""

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.concat_attention import MASKS, Mask
from benchmarks.memory import live_peak_bytes
from benchmarks.tables import describe_machine, markdown_table
from benchmarks.timing import CLOCKS, Timings, add_measuring_options, time_interleaved
from benchmarks.wan_step import Shape, Step, reference_flops, step_flops
from refract.models.determinism import make_deterministic
from refract.pipeline.device import pick_device

STOCK, OURS, KERNEL, BARE = "no bank", "bank", "kernel", "bare"
_STRENGTH = 0.7  # of ours and of the masked forms; without a mask it is 1


def strength_of(mask: Mask) -> float:
    return 1.0 if mask == "none" else _STRENGTH


def concat_name(mask: Mask) -> str:
    return f"concat, s = {strength_of(mask):g}, mask {mask}"


def calls_of(step: Step, what: str) -> dict[str, Callable[[], Tensor]]:
    """Stock, ours, each concatenated form and the kernel alone, by name; bare of a layer too."""
    processors = {STOCK: step.attn.processor, OURS: step.ours(_STRENGTH)}
    processors |= {concat_name(mask): step.concatenated(strength_of(mask), mask) for mask in MASKS}

    def call_with(processor: Any) -> Callable[[], Tensor]:
        def call() -> Tensor:
            step.attn.processor = processor
            return step.run(what)

        return call

    calls = {name: call_with(processor) for name, processor in processors.items()}
    bare = {BARE: step.bare()} if what == "layer" else {}
    return {**calls, KERNEL: step.kernel(), **bare}


def furthest_apart(step: Step, mask: Mask) -> float:
    """Largest difference of the layer's output between ours and a concatenated form."""
    stock = step.attn.processor
    outputs = []
    for processor in (step.ours(strength_of(mask)), step.concatenated(strength_of(mask), mask)):
        step.attn.processor = processor
        outputs.append(step.run("layer").float())
    step.attn.processor = stock
    return float((outputs[0] - outputs[1]).abs().max())


def beyond_share(timings: Timings) -> float:
    """Median over rounds of (time with bank - time of the kernel alone) / time without bank."""
    rounds = zip(*(timings.seconds[name] for name in (OURS, KERNEL, STOCK)), strict=True)
    return median((ours - kernel) / stock for ours, kernel, stock in rounds)


def stock_row(shape: Shape, batch: int, reference: int, timings: Timings) -> list[object]:
    arithmetic = reference_flops(shape, batch, reference) / step_flops(shape, batch)
    return [
        batch,
        reference,
        timings.median(STOCK),
        timings.ratio(OURS, STOCK),
        timings.ratio_range(OURS, STOCK),
        timings.ratio(KERNEL, STOCK),
        arithmetic,
        beyond_share(timings),
    ]


def concat_row(mask: Mask, timings: Timings, memory: dict[str, int], apart: float) -> list[object]:
    name = concat_name(mask)
    return [
        name,
        timings.ratio(OURS, name),
        timings.ratio_range(OURS, name),
        timings.ratio(BARE, name) if BARE in timings.seconds else "",
        f"{memory[OURS] / 2**20:.0f}",
        f"{memory[name] / 2**20:.0f}",
        memory[OURS] / memory[name],
        apart,
    ]


_STOCK_HEADER = [
    "batch", "reference tokens", "no bank, s", "with bank, x", "lowest to highest",
    "added share", "arithmetic", "with bank less share, x",
]  # fmt: skip
_CONCAT_HEADER = [
    "part", "batch", "reference tokens", "against", "time, x", "lowest to highest", "bare, x",
    "extra MiB, ours", "extra MiB, theirs", "memory, x", "furthest apart",
]  # fmt: skip


def main() -> None:
    options = _parse()
    device = pick_device()
    make_deterministic(0, threads=options.threads)
    shape = Shape(options.frames)
    stock_rows, concat_rows = [], []
    for batch in options.batch:
        for reference in options.reference:
            step = Step(shape, batch, reference, getattr(torch, options.dtype), device)
            apart = {mask: furthest_apart(step, mask) for mask in MASKS}
            for what in options.what:
                calls = calls_of(step, what)
                timings = time_interleaved(
                    calls,
                    repeats=options.repeats,
                    device=device,
                    clock=CLOCKS[options.clock],
                )
                memory = {name: live_peak_bytes(call, device) for name, call in calls.items()}
                if what == "step":
                    stock_rows.append(stock_row(shape, batch, reference, timings))
                concat_rows += [
                    [what, batch, reference, *concat_row(mask, timings, memory, apart[mask])]
                    for mask in MASKS
                ]
    print(
        f"{describe_machine(device, options.dtype)}; {shape.frames} x {shape.rows} x "
        f"{shape.columns} = {shape.tokens} video tokens, {options.repeats} interleaved rounds, "
        f"{options.clock} clock"
    )
    if stock_rows:
        print(markdown_table(_STOCK_HEADER, stock_rows))
    print(markdown_table(_CONCAT_HEADER, concat_rows))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=3, help="of the latents; 49 frames: 13")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--reference", type=int, nargs="+", default=[500, 1560], help="tokens")
    parser.add_argument("--what", nargs="+", choices=["step", "layer"], default=["step", "layer"])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    add_measuring_options(parser, repeats=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
