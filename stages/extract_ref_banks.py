"""Record the reference bank of each case's product image.

python -m stages.extract_ref_banks --params params.yaml --cases data/cases.yaml \
    --adapter out/ir_adapter --triptychs out/triptychs --output out/ref_banks
"""

import argparse
from pathlib import Path

from refract.params.cases import load_cases, with_overrides
from refract.params.ref_bank import BankParams
from refract.params.whole import load_stage_params
from refract.pipeline.forked import item_threads
from refract.pipeline.launcher import launch_processes
from refract.pipeline.stage_runner import is_first_process, run_stage


class StageParams(BankParams):
    """The settings of this stage."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("params", "cases", "adapter", "triptychs", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    paths = parser.parse_args()
    params = load_stage_params(StageParams, paths.params)
    cases = load_cases(paths.cases)
    requests = {name: (case, with_overrides(params, name, case)) for name, case in cases.items()}
    launch_processes()

    from refract.editing.reference.job import BankJob
    from refract.editing.reference.photo import warn_of_unwatched_files
    from refract.models.determinism import make_deterministic

    make_deterministic(params.seed, threads=item_threads())
    if is_first_process():
        warn_of_unwatched_files(cases, paths.cases)
    BankJob(params, paths.adapter, paths.triptychs).run(requests, paths.output)


if __name__ == "__main__":
    run_stage(
        "extract_ref_banks",
        main,
        memory_keys=("ref_bank.image_px", "flowalign.width", "flowalign.height"),
    )
