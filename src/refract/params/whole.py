"""Check params.yaml and the cases as a whole, before any stage works.

`python -m refract.params.whole [--params params.yaml] [--cases data/cases.yaml]`
"""

import argparse
from pathlib import Path

from refract.params.cases import load_cases, with_overrides
from refract.params.evaluate import Evaluate
from refract.params.flowalign import FlowAlign
from refract.params.infer_ir import InferIr
from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModel, VideoModel
from refract.params.prepare_triptychs import PrepareTriptychs
from refract.params.ref_bank import RefBank
from refract.params.reference import RefBranches, RefLayers, RefMode, RefStrength, RefTimesteps
from refract.params.section import Section, Seed, load_stage_params
from refract.pipeline.stage_runner import run_stage


class Params(Section):
    """The whole of params.yaml."""

    seed: Seed
    ref_strength: RefStrength
    ref_timesteps: RefTimesteps
    ref_layers: RefLayers
    ref_mode: RefMode
    ref_branches: RefBranches
    infrared_model: InfraredModel
    video_model: VideoModel
    prepare_triptychs: PrepareTriptychs
    ir_adapter: IrAdapter
    infer_ir: InferIr
    ref_bank: RefBank
    flowalign: FlowAlign
    evaluate: Evaluate


def check(params_path: Path, cases_path: Path) -> None:
    """Raise InputError for the first fault in either file."""
    params = load_stage_params(Params, params_path)
    for name, case in load_cases(cases_path).items():
        with_overrides(params, name, case)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--cases", type=Path, default=Path("data/cases.yaml"))
    arguments = parser.parse_args()
    check(arguments.params, arguments.cases)


if __name__ == "__main__":
    run_stage("params.check", main)
