"""Trainings of a few steps on the tiny image model."""

import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from refract.infrared.training.job import train_adapter
from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModelParams
from tests.stage_process import ModuleProcess, run_processes, start_processes

PRODIGY: dict[str, Any] = {"optimizer": "prodigy", "lr": 1.0, "semantic_lr": 1.0, "scale_lr": 1.0}
LEARNABLE = {"semantic": {"mode": "pixel_fusion", "fusion": "learnable"}}


def settings(semantic: dict[str, str] | None = None, **changes: object) -> IrAdapter:
    form = {
        "mode": "cross_attention",
        "preset": "default",
        "layout": "tile",
        "position": "distance_bias",
        "gate": "zero_projection",
        "site": "x_cond",
        "fusion_alpha": 0.5,
        "fusion": "fixed",
    }
    values: dict[str, object] = {
        "semantic": form | (semantic or {}),
        "layers": 1,
        "heads": 8,
        "rank": 2,
        "alpha": 2.0,
        "lora_targets": ["to_q", "proj_mlp"],
        "optimizer": "adamw",
        "lr": 5e-3,
        "semantic_lr": 1e-2,
        "scale_lr": 1e-2,
        "finetune_lr_factor": 0.1,
        "weight_decay": 0.01,
        "steps": 6,
        "phases": {"warmup": 0.34, "finetune": 0.5},
        "batch": 2,
        "accumulation": 1,
        "mirror": True,
        "precision": "float32",
        "ema": 0.0,
        "grad_clip": 1.0,
        "gradient_checkpointing": False,
        "guidance": 1.0,
        "time_shift": 1.0,
        "left_panel_weight": 0.1,
        "validate_every": 4,
        "sample_every": 0,
        "checkpoint_every": 2,
    }
    return IrAdapter.model_validate(values | changes)


def section(model: Path) -> InfraredModelParams:
    return InfraredModelParams(
        path=str(model), revision=None, dtype="float32", max_sequence_length=16
    )


def train(model: Path, triptychs: Path, output: Path, **changes: Any) -> dict[str, bytes]:
    train_adapter(settings(**changes), section(model), 0, triptychs, output)
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


class Inputs(NamedTuple):
    """What every training here reads."""

    model: Path
    triptychs: Path
    folder: Path

    def stage(self, output: Path, options: dict[str, Any]) -> list[str]:
        """Module and arguments of the real stage."""
        params = self.folder / f"{output.name}.yaml"
        return command(params, self.model, self.triptychs, output, **options)

    def start(self, output: Path, state: Path, options: dict[str, Any]) -> list[ModuleProcess]:
        """Two processes, as `LAUNCH` starts them."""
        return start_processes(2, *self.stage(output, options), env={"REFRACT_STATE": str(state)})

    def run(self, output: Path, state: Path, options: dict[str, Any]) -> str:
        """What they have said by their end."""
        return run_processes(*self.stage(output, options), env={"REFRACT_STATE": str(state)})


def command(params: Path, model: Path, triptychs: Path, output: Path, **changes: Any) -> list[str]:
    """Module and arguments of the stage that does the same; its settings go to `params`."""
    values = {
        "seed": 0,
        "infrared_model": section(model).model_dump(mode="json"),
        "ir_adapter": settings(**changes).model_dump(mode="json"),
    }
    params.write_text(json.dumps(values))  # JSON is YAML
    paths = {"params": params, "triptychs": triptychs, "output": output}
    return ["stages.train_ir_adapter", *(f"--{name}={path}" for name, path in paths.items())]


def wait_for_checkpoint(process: ModuleProcess, state: Path) -> None:
    """Until the training in `process` has saved one, which it must before it ends.

    It gives way to others from now on, so that whoever waits sees it in time on a busy machine.
    """
    os.setpriority(os.PRIO_PROCESS, process.pid, 19)
    deadline = time.monotonic() + 300
    while not list(state.glob("checkpoints/*/step_*")):
        assert process.poll() is None, "the training ended without a checkpoint left"
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.02)
