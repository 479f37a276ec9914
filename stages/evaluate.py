"""Measure infrared pictures and edits beside their baselines.

python -m stages.evaluate --params params.yaml --cases data/cases.yaml --triptychs out/triptychs \
    --infrared out/infrared --banks out/ref_banks --edits out/edits --metrics metrics \
    --plots out/plots --report out/report
"""

import argparse
from pathlib import Path

from refract.params.cases import load_cases, with_overrides
from refract.params.whole import Params, load_stage_params
from refract.pipeline.stage_runner import run_stage

_PATHS = (
    "params", "cases", "triptychs", "infrared", "banks", "edits", "metrics", "plots", "report",
)  # fmt: skip
StageParams = Params  # the report shows every setting; each of them reaches this stage anyway


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in _PATHS:
        parser.add_argument(f"--{name}", type=Path, required=True)
    paths = parser.parse_args()
    params = load_stage_params(StageParams, paths.params)
    cases = load_cases(paths.cases)
    networks = {
        name: with_overrides(params, name, case).ref_bank.network for name, case in cases.items()
    }

    from refract.evaluation.job import evaluate
    from refract.evaluation.judge import Judge
    from refract.report.building import ReportInputs, write_report

    outputs = {
        name: getattr(paths, name)
        for name in ("triptychs", "infrared", "banks", "edits", "metrics", "plots")
    }
    evaluate(Judge(params.evaluate, params.seed), cases, networks=networks, **outputs)
    inputs = ReportInputs(params=paths.params, cases=paths.cases, **outputs)
    write_report(paths.report, inputs)


if __name__ == "__main__":
    run_stage("evaluate", main)
