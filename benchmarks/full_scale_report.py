"""Tables of the benchmark at full scale: what was measured, and what was counted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch

from benchmarks.full_scale_flops import edit_flops
from benchmarks.full_scale_models import FILL_NAME, WAN_NAMES
from benchmarks.full_scale_run import Row, Scale
from benchmarks.machine import describe_machine
from benchmarks.table import markdown_table
from refract.base.atomic import write_atomic

H100_TFLOPS = 989  # dense products in bfloat16, SXM; NVIDIA's data sheet
_SECONDS = 20  # wanted of an edit


def facts(scale: Scale, halves: Sequence[str], models: Sequence[str]) -> dict[str, Any]:
    """What the figures mean nothing without."""
    names = [FILL_NAME] if "infrared" in halves else []
    names += [WAN_NAMES[model] for model in models] if "video" in halves else []
    return {
        "machine": describe_machine(scale.device, scale.dtype),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "clip": f"{scale.frames} frames of {scale.width}x{scale.height}",
        "diptych": f"{scale.panel_px}x{2 * scale.panel_px}",
        "words": scale.words,
        "layers": {name: scale.cut.words(name) for name in names},
        "repeats": scale.repeats,
    }


def facts_line(found: Mapping[str, Any]) -> str:
    layers = "; ".join(f"{name}: {kept}" for name, kept in found["layers"].items())
    return (
        f"{found['machine']}, diffusers {found['diffusers']}; random weights, {layers}; clip "
        f"{found['clip']}, diptych {found['diptych']} (height x width), {found['words']} words; "
        f"{found['repeats']} rounds, interleaved within the rows of a model and its options"
    )


def measured_table(rows: Sequence[Row], device: str) -> str:
    """Every row; the last columns compare it with the same row without options, not interleaved."""
    peak = "peak GiB" if device.startswith("cuda") else "extra peak MiB"
    header = ["model", "options", "what", "s", "time, x", "of", "lowest to highest", peak]
    bare = {(row.half, row.what): row.seconds for row in rows if row.options == "none"}
    lines = [
        [
            row.half,
            row.options,
            row.what,
            "" if row.seconds is None else row.seconds,
            "" if row.ratio is None else row.ratio,
            row.base or "",
            "" if row.low is None else f"{row.low:.2f} to {row.high:.2f}",
            "" if row.peak is None else _memory(row.peak, device),
            _against(row, bare.get((row.half, row.what))),
            row.how,
        ]
        for row in rows
    ]
    return markdown_table([*header, "against no options, x", "how"], lines)


def _memory(peak: int, device: str) -> str:
    return f"{peak / 2**30:.1f}" if device.startswith("cuda") else f"{peak / 2**20:.0f}"


def _against(row: Row, bare: float | None) -> object:
    if row.options == "none" or row.seconds is None or not bare:
        return ""
    return row.seconds / bare


def video_flops_table(parts: Mapping[str, dict[str, int]]) -> str:
    """Rows by model and bank, of whole edits; what an H100 would have to do for 20 s."""
    header = [
        "model, bank", "what", "PFLOP", "x", "of", "x without the VAE",
        f"TFLOP/s for {_SECONDS} s", f"share of {H100_TFLOPS} TFLOP/s",
    ]  # fmt: skip
    bases = {"edit, with bank": "edit, plain", "sweep point": "edit, with bank"}
    lines: list[list[object]] = []
    for name, own in parts.items():
        whole, bare = edit_flops(own), edit_flops(own, vae=False)
        for what, flops in whole.items():
            base = bases.get(what)
            ratios = (f"{x[what] / x[base]:.3f}" if base else "" for x in (whole, bare))
            first, second = ratios
            needed = flops / _SECONDS / 1e12
            lines.append(
                [name, what, flops / 1e15, first, base or "", second, needed,
                 f"{needed / H100_TFLOPS:.0%}"]
            )  # fmt: skip
    return markdown_table(header, lines)


def parts_table(parts: Mapping[str, Mapping[str, int]]) -> str:
    """TFLOP of every part, by model."""
    lines = [[name, what, n / 1e12] for name, own in parts.items() for what, n in own.items()]
    return markdown_table(["model", "part", "TFLOP"], lines)


def write_json(
    path: Path, found: Mapping[str, Any], rows: Sequence[Row], other: Mapping[str, Any]
) -> None:
    document = {**found, "rows": [asdict(row) for row in rows], **other}
    text = json.dumps(document, indent=1)
    write_atomic(path, lambda temporary: temporary.write_text(text + "\n"))
