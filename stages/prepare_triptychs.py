"""Build triptychs [visible | infrared | semantic] from a raw data set.

python -m stages.prepare_triptychs --params params.yaml --output out/triptychs
"""

import argparse
from pathlib import Path

from refract.params.prepare_triptychs import PrepareTriptychs
from refract.params.section import Section, Seed
from refract.params.whole import load_stage_params
from refract.pipeline.stage_runner import run_stage


class StageParams(Section):
    seed: Seed
    prepare_triptychs: PrepareTriptychs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("params", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    paths = parser.parse_args()
    params = load_stage_params(StageParams, paths.params)

    from refract.triptychs.preparing.building import prepare_triptychs

    if params.prepare_triptychs.semantic.source == "model":  # else no torch is needed
        from refract.models.determinism import make_deterministic

        make_deterministic(params.seed)
    prepare_triptychs(params.prepare_triptychs, params.seed, paths.output)


if __name__ == "__main__":
    run_stage("prepare_triptychs", main)
