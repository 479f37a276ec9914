"""Measure infrared pictures and edits beside their baselines.

python -m stages.evaluate --params params.yaml --cases data/cases.yaml --triptychs out/triptychs \
    --infrared out/infrared --banks out/ref_banks --edits out/edits --metrics metrics \
    --plots out/plots
"""

import argparse
from pathlib import Path

from refract.params.cases import load_cases
from refract.params.evaluate import Evaluate
from refract.params.section import Section, load_stage_params
from refract.params.seed import Seed
from refract.stage_runner import run_stage


class StageParams(Section):
    seed: Seed
    evaluate: Evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("params", "cases", "triptychs", "infrared", "banks", "edits", "metrics", "plots"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    paths = parser.parse_args()
    params = load_stage_params(StageParams, paths.params)
    cases = load_cases(paths.cases)

    from refract.determinism import make_deterministic
    from refract.evaluation import evaluate
    from refract.judge import load_judge

    # A metric's tensors are small: a second thread gains little, and where cores are shared
    # waiting for it made this stage ten times slower.
    make_deterministic(params.seed, threads=1)
    evaluate(
        load_judge(params.evaluate, params.seed),
        cases,
        triptychs=paths.triptychs,
        infrared=paths.infrared,
        banks=paths.banks,
        edits=paths.edits,
        metrics=paths.metrics,
        plots=paths.plots,
    )


if __name__ == "__main__":
    run_stage("evaluate", main)
