"""One optimiser step of the infrared training: cached latents against encoding at every step.

python -m benchmarks.training_step --batch 4

Without the cache a training has to read its triptychs and run the VAE on them at every step; that
is done here for the whole batch at once, as the fastest way. Both steps see the same batch. Their
files lie in the page cache, as those of a data set that fits into memory do.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.memory import extra_peak_bytes
from benchmarks.tables import describe_machine, markdown_table
from benchmarks.timing import CLOCKS, Timings, add_measuring_options, time_interleaved
from benchmarks.training_parts import TrainingParts, build_parts
from benchmarks.workspace import ROOT, Workspace, street_settings
from refract.models.determinism import make_deterministic
from refract.params.whole import load_stage_params
from refract.pipeline.device import pick_device
from stages.train_ir_adapter import StageParams

_CACHED, _ANEW = "**step, cached latents**", "**step, VAE at every step**"


def main() -> None:
    options = _parse()
    device = pick_device()
    with tempfile.TemporaryDirectory(prefix="refract-benchmark-") as folder:
        workspace = Workspace.create(Path(folder), _changes(options, Path(folder)))
        params = load_stage_params(StageParams, workspace.params)
        make_deterministic(params.seed, threads=options.threads)
        workspace.prepare_street({"train": options.batch, "val": 1})
        parts = build_parts(
            params.ir_adapter,
            params.infrared_model,
            params.seed,
            workspace.triptychs,
            Path(folder, "state"),
            device,
        )
        timings = time_interleaved(
            alternatives(parts),
            repeats=options.repeats,
            device=device,
            clock=CLOCKS[options.clock],
        )
        print(_facts(options, parts, device))
        print(markdown_table(*table(timings, _extra_memory(parts, device))))


def alternatives(parts: TrainingParts) -> dict[str, Callable[[], object]]:
    """What is timed, by the name it has in the table."""
    batch = parts.load(parts.cached)
    return {
        "batch from the cache": lambda: parts.load(parts.cached),
        "batch read and encoded": lambda: parts.load(parts.anew),
        "forward and backward": lambda: parts.backward(batch),
        "clipping and optimiser": parts.update,
        _CACHED: lambda: parts.step(parts.cached),
        _ANEW: lambda: parts.step(parts.anew),
    }


def table(timings: Timings, extra: dict[str, int | None]) -> tuple[list[str], list[list[object]]]:
    """Header and rows: seconds, the ratio to a cached step with its range, extra peak memory."""
    header = ["part", "s", "of a cached step", "lowest to highest", "extra peak MiB"]
    rows: list[list[object]] = []
    for name in timings.seconds:
        peak = extra.get(name)
        rows.append(
            [
                name,
                timings.median(name),
                timings.ratio(name, _CACHED),
                timings.ratio_range(name, _CACHED),
                "" if peak is None else f"{peak / 2**20:.0f}",
            ]
        )
    return header, rows


def _extra_memory(parts: TrainingParts, device: str) -> dict[str, int | None]:
    """Of the two whole steps; after the timing, so that all libraries are in use already."""
    if device == "mps":  # torch has no peak of its own there
        return {}
    return {
        _CACHED: extra_peak_bytes(lambda: parts.step(parts.cached), device),
        _ANEW: extra_peak_bytes(lambda: parts.step(parts.anew), device),
    }


def _facts(options: argparse.Namespace, parts: TrainingParts, device: str) -> str:
    batch = parts.load(parts.cached)
    vae = sum(p.numel() * p.element_size() for p in parts.anew.vae.vae.parameters())
    return (
        f"{describe_machine(device, options.dtype)}; model {Path(options.model).name}, "
        f"batch {options.batch}, panels {options.panel_px} px, x_0 {tuple(batch.x_0.shape)}, "
        f"semantic {tuple(batch.semantic.shape)}; median of {options.repeats} interleaved rounds; "
        f"VAE weights {vae / 2**20:.1f} MiB\n"
    )


def _changes(options: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    return {
        "infrared_model": {
            "path": options.model,
            "dtype": options.dtype,
        },
        "prepare_triptychs": street_settings(folder, options.panel_px),
        "ir_adapter": {"batch": options.batch},
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=str(ROOT / "backbones" / "flux-fill-micro"))
    parser.add_argument("--dtype", default="float32", help="of the weights")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--panel-px", type=int, default=128, help="side of a panel")
    threads = os.environ.get("REFRACT_THREADS", "1")
    add_measuring_options(parser, repeats=15, threads=int(threads))
    return parser.parse_args()


if __name__ == "__main__":
    main()
