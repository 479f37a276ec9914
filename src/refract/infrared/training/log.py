"""What a training run says: what is trained, one line a logged step, a curve file, a warning."""

import csv
import logging
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.semantic_attention import SemanticConditioningAdapter
from refract.infrared.training.weight_sharding import held_and_whole, is_sharded
from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModelParams

logger = logging.getLogger(__name__)

_LINES = 20  # of a whole training, about
_STILL = 1e-3  # a scale nearer to its start than this has not moved
_GATE_START = {"zero_scale": 0.0, "small": 1e-3}


def peak_memory_gb() -> float:
    """Largest memory so far: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**30 if sys.platform == "darwin" else 2**20)


def log_training(
    model: InfraredModel,
    settings: IrAdapter,
    section: InfraredModelParams,
    identity: str,
    device: str,
    processes: int,
) -> None:
    """What is trained, where and how."""
    position, gate, site = settings.semantic.form
    lora = sum(p.numel() for p in model.transformer.parameters() if p.requires_grad)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    logger.info(
        "training on %s, weights %s, computing in %s, model %s (%s)",
        device,
        section.dtype,
        settings.precision,
        section.path,
        identity,
    )
    if processes > 1:
        logger.info("%d processes, each %d of a batch", processes, settings.batch // processes)
    if is_sharded(model.transformer):
        logger.info(
            "frozen weights sharded: each process holds about %d of %d",
            *held_and_whole(model.transformer),
        )
    logger.info(
        "semantic mode %s, %d layers, %d heads, position %s, gate %s, site %s: "
        "%d adapter parameters, %d LoRA parameters (rank %d)",
        settings.semantic.mode,
        0 if model.adapter is None else settings.layers,
        settings.heads,
        position,
        gate,
        site,
        trained - lora,
        lora,
        settings.rank,
    )
    if model.fusion is not None:
        logger.info(
            "learnable fusion, alpha from %.4f: the VAE stays loaded and encodes every batch "
            "anew; the gradient reaches alpha through x_cond, x_0 is held constant",
            model.fusion.alpha.item(),
        )


class StepTimer:
    """Seconds a step since the start (or the resume) of this process."""

    def __init__(self, first_step: int) -> None:
        self._first = first_step
        self._start = time.monotonic()

    def seconds(self, done: int) -> float:
        """Mean seconds a step after `done` steps in all."""
        return (time.monotonic() - self._start) / max(done - self._first, 1)


def log_interval(steps: int, row_every: int) -> int:
    """Steps between two lines of the log: about 20 in `steps`, each where the curve has a row."""
    return row_every * max(1, round(steps / (_LINES * row_every)))


def log_step(row: dict[str, Any], steps: int, timer: StepTimer) -> None:
    """One line: step, %, phase, losses, scales or alpha, speed, time left, memory."""
    done = row["step"]
    seconds = timer.seconds(done)
    left = int((steps - done) * seconds)
    validation = row.get("validation_loss")
    scales = [f"{value:.4f}" for key, value in row.items() if key.startswith("scale_")]
    logger.info(
        "step %d/%d %3d%% %s loss %.4f%s%s%s lr x%.3f %.2f s/step ETA %d:%02d peak %.1f GB",
        done,
        steps,
        100 * done // steps,
        row["phase"],
        row["loss"],
        "" if validation is None else f" val {validation:.4f}",
        f" scale [{' '.join(scales)}]" if scales else "",
        f" alpha {row['fusion_alpha']:.4f}" if "fusion_alpha" in row else "",
        row["lr_factor"],
        seconds,
        left // 60,
        left % 60,
        peak_memory_gb(),
    )


def write_curve(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """curve.csv: what depends on data and settings only, no times, so that equal runs agree."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def still_layers(adapter: SemanticConditioningAdapter) -> list[int]:
    """Layers that still add next to nothing.

    With the gates `zero_scale` and `small` the scale itself must have left its start; with
    `zero_projection` the scale starts at 1 and the projection must have left zero. The gate `one`
    is open from the start.
    """
    still = []
    for index, layer in enumerate(adapter.attentions):
        if layer.gate in _GATE_START:
            moved = abs(float(layer.scale.detach()) - _GATE_START[layer.gate]) > _STILL
        elif layer.gate == "zero_projection":
            moved = float(layer.to_out.weight.detach().abs().max()) > _STILL * 1e-1
        else:
            moved = True
        if not moved:
            still.append(index)
    return still


def warn_if_still(adapter: SemanticConditioningAdapter) -> None:
    """A warning after the warm-up where a layer has not begun to act."""
    for index in still_layers(adapter):
        layer = adapter.attentions[index]
        logger.warning(
            "semantic layer %d has not moved after the warm-up (gate %s, scale %.5f): check that "
            "ir_adapter.scale_lr and semantic_lr are high enough, that the maps are not all equal "
            "(prepare_triptychs.semantic.source), and the gate (zero_projection learns sooner)",
            index,
            layer.gate,
            float(layer.scale.detach()),
        )
