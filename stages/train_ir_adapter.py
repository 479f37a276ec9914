"""Train the infrared adapter: LoRA and semantic attention on the image model.

python -m stages.train_ir_adapter --params params.yaml --triptychs out/triptychs \
    --output out/ir_adapter
"""

import argparse
from pathlib import Path

from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModelParams
from refract.params.section import Section, Seed
from refract.params.whole import load_stage_params
from refract.pipeline.launcher import launch_processes
from refract.pipeline.stage_runner import run_stage

_MEMORY_KEYS = (
    "ir_adapter.batch",
    "ir_adapter.layers",
    "ir_adapter.semantic.fusion",  # learnable keeps the VAE and its gradients
    "ir_adapter.gradient_checkpointing",
    "ir_adapter.precision",
    "infrared_model.dtype",
    "infrared_model.quantization",
)


class StageParams(Section):
    seed: Seed
    infrared_model: InfraredModelParams
    ir_adapter: IrAdapter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("params", "triptychs", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    paths = parser.parse_args()
    params = load_stage_params(StageParams, paths.params)
    launch_processes()

    from refract.infrared.training.job import train_adapter
    from refract.models.determinism import make_deterministic

    make_deterministic(params.seed)
    train_adapter(
        params.ir_adapter, params.infrared_model, params.seed, paths.triptychs, paths.output
    )


if __name__ == "__main__":
    run_stage("train_ir_adapter", main, memory_keys=_MEMORY_KEYS)
