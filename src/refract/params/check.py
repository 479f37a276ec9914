"""Check params.yaml and the cases as a whole, before any stage works.

`python -m refract.params.check [--params params.yaml] [--cases data/cases.yaml]`
"""

import argparse
from pathlib import Path

from refract.params.cases import load_cases, with_overrides
from refract.params.whole import Params, load_stage_params
from refract.pipeline.stage_runner import run_stage


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
