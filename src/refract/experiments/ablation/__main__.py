"""Sweeps of ablations.yaml, each with one command.

`python -m refract.experiments.ablation run NAME` queues one DVC experiment a point (`dvc exp run
--queue`), waits for them and writes tables and plots to out/ablations/NAME; `make ablation
NAME=...` is the same. `report NAME` writes them again, `list` says which sweeps there are. Exit
code 2 if a point failed; the table holds the others.
"""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from refract.base.errors import InputError
from refract.pipeline.stage_runner import run_stage

if TYPE_CHECKING:
    from refract.experiments.ablation.grids import Grid
    from refract.experiments.ablation.manifest import Sweep

logger = logging.getLogger(__name__)

GRIDS, OUTPUT = Path("ablations.yaml"), Path("out/ablations")
PARAMS, CASES = Path("params.yaml"), Path("data/cases.yaml")
_MOST_JOBS = 64


def main() -> None:
    arguments = parse_arguments()

    from refract.experiments.ablation.grids import (
        check_values,
        find_grid,
        load_grids,
        unreached_cases,
    )

    grids = load_grids(GRIDS, PARAMS)
    if arguments.command == "list":
        _list(grids)
        return
    grid = find_grid(grids, arguments.name)
    folder = arguments.output or OUTPUT / arguments.name
    check_replaceable(folder)
    if arguments.command == "report":
        report(earlier_sweep(arguments.name, grid, folder), grid, folder)
        return
    if not 1 <= arguments.jobs <= _MOST_JOBS:
        raise InputError(f"--jobs {arguments.jobs}: must be 1 to {_MOST_JOBS}")
    check_values(grid, PARAMS, CASES, f"{GRIDS}: {arguments.name}")
    unreached = unreached_cases(grid, CASES)
    if unreached:
        logger.warning("the sweep misses what cases set themselves: %s", ", ".join(unreached))
    run(arguments.name, grid, folder, arguments.jobs)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="refract.experiments.ablation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name every sweep")
    for name, text in (("run", "run a sweep and report it"), ("report", "report it again")):
        command = commands.add_parser(name, help=text)
        command.add_argument("name", nargs="?", help="a sweep of ablations.yaml")
        command.add_argument("--output", type=Path, help=f"folder; default {OUTPUT}/NAME")
        if name == "run":
            command.add_argument("--jobs", type=int, default=1, help="experiments at a time")
    return parser.parse_args()


def run(name: str, grid: "Grid", folder: Path, jobs: int) -> None:
    """Run a sweep and report it.

    Raises InputError: also when a point failed, after the report of the others.
    """
    from refract.experiments.ablation.sweep import run_sweep
    from refract.experiments.compare.revisions import open_repository

    with open_repository(Path()) as repo:
        sweep = run_sweep(repo, name, grid, PARAMS, jobs)
    failed = sweep.failed
    if len(failed) < len(sweep.points):
        report(sweep, grid, folder)
    if failed:
        reasons = "; ".join(f"{point} ({point.error})" for point in failed)
        raise InputError(f"{len(failed)} of {len(sweep.points)} points failed: {reasons}")


def report(sweep: "Sweep", grid: "Grid", folder: Path) -> None:
    """Tables and plots of a sweep, in place of the last ones."""
    from refract.base.yaml_files import read_yaml
    from refract.evaluation.measures.bootstrap import Resampling
    from refract.experiments.ablation.collect import collect_items
    from refract.experiments.ablation.report import write_sweep_report
    from refract.experiments.compare.revisions import open_repository

    params = read_yaml(PARAMS)
    how = Resampling(params["evaluate"]["bootstrap"], params["seed"])  # as in metrics/*.json
    with open_repository(Path()) as repo:
        items = collect_items(repo, sweep, grid.half)
    write_sweep_report(sweep, grid, items, how, folder)
    logger.info("%s: report.md, table.tex, plots.png and more", folder)


def earlier_sweep(name: str, grid: "Grid", folder: Path) -> "Sweep":
    """The sweep whose report lies in `folder`; InputError if it is not of these points."""
    from refract.experiments.ablation.manifest import read_sweep

    sweep = read_sweep(folder)
    if sweep.grid != name or grid.runs != [(point.label, point.seed) for point in sweep.points]:
        raise InputError(f"{folder}: holds other points than {GRIDS}; run the sweep again")
    return sweep


def check_replaceable(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier report: it will be replaced."""
    from refract.experiments.ablation.manifest import FILE

    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if (held and FILE not in held) or folder.is_file():
        raise InputError(f"--output {folder}: must be a new or empty folder, or an earlier report")


def _list(grids: "dict[str, Grid]") -> None:
    width = max(map(len, grids))
    for name, grid in grids.items():
        seeds = f" x {len(grid.seeds)} seeds" if grid.seeds else ""
        runs = f"{len(grid.points):>2} points{seeds}"
        print(f"{name:<{width}}  {runs:<19}  {grid.half:<8}  {grid.about}")


if __name__ == "__main__":
    run_stage("ablation", main)
