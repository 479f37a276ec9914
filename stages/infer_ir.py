"""Infrared pictures of the test split, with its own, shuffled and no semantic maps.

python -m stages.infer_ir --params params.yaml --triptychs out/triptychs \
    --adapter out/ir_adapter --output out/infrared
"""

import argparse
from pathlib import Path

from refract.params.infer_ir import InferIr
from refract.params.models import InfraredModelParams
from refract.params.section import Section, Seed
from refract.params.whole import load_stage_params
from refract.pipeline.forked import item_threads
from refract.pipeline.launcher import launch_processes
from refract.pipeline.stage_runner import run_stage


class StageParams(Section):
    seed: Seed
    infrared_model: InfraredModelParams
    infer_ir: InferIr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("params", "triptychs", "adapter", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    paths = parser.parse_args()
    params = load_stage_params(StageParams, paths.params)
    launch_processes()

    from refract.infrared.inference.job import InferenceJob
    from refract.models.determinism import make_deterministic

    make_deterministic(params.seed, threads=item_threads())
    job = InferenceJob(params.infer_ir, params.infrared_model, params.seed, paths.adapter)
    job.run(paths.triptychs, paths.output)


if __name__ == "__main__":
    run_stage("infer_ir", main, memory_keys=("infer_ir.batch", "infrared_model.dtype"))
