"""Write the report of a run that has been evaluated.

python -m refract.report --output out/report --plots out/plots --metrics metrics \
    --triptychs out/triptychs --infrared out/infrared --edits out/edits --banks out/ref_banks \
    --params params.yaml --cases data/cases.yaml
"""

import argparse
from dataclasses import fields
from pathlib import Path

from refract.pipeline.stage_runner import run_stage
from refract.report.building import ReportInputs, write_report


def main() -> None:
    parser = argparse.ArgumentParser(prog="refract.report", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out/report"))
    for field in fields(ReportInputs):
        parser.add_argument(f"--{field.name}", type=Path, default=field.default)
    arguments = vars(parser.parse_args())
    write_report(arguments.pop("output"), ReportInputs(**arguments))


if __name__ == "__main__":
    run_stage("report", main)
