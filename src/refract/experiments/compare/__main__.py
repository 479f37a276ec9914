"""Compare two experiments: what was changed, and which metrics moved beyond noise.

`python -m refract.experiments.compare A B` or `make compare A=... B=...`; each is an experiment's
name, a git revision or `workspace`. A difference is B minus A, paired by item.
"""

import argparse
from pathlib import Path

from refract.base.atomic import write_text
from refract.base.errors import InputError
from refract.pipeline.stage_runner import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="refract.experiments.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", help="experiment name, git revision or workspace")
    parser.add_argument("b", metavar="B", help="the other one")
    parser.add_argument("--half", choices=("both", "edit", "infrared"), default="both")
    parser.add_argument("--md", type=Path, help="write the comparison as Markdown here")
    parser.add_argument("--csv", type=Path, help="write its table as CSV here")
    parser.add_argument("--resamples", type=int, default=10_000, help="of interval and test")
    parser.add_argument("--seed", type=int, default=0, help="of the resampling")
    arguments = parser.parse_args()

    from refract.evaluation.measures.bootstrap import Resampling
    from refract.experiments.compare.experiments import compare
    from refract.experiments.compare.item_tables import HALVES
    from refract.experiments.compare.printing import as_csv, as_markdown, as_text
    from refract.experiments.compare.revisions import find_revision, open_repository

    halves = [half for half in HALVES if arguments.half in ("both", half)]
    how = Resampling(checked_resamples(arguments.resamples), arguments.seed)
    with open_repository(Path()) as repo:
        a, b = find_revision(repo, arguments.a), find_revision(repo, arguments.b)
        comparison = compare(repo, a, b, halves, how)
    print(as_text(comparison), end="")
    for path, text in ((arguments.md, as_markdown), (arguments.csv, as_csv)):
        if path is not None:
            write_text(path, text(comparison))


def checked_resamples(count: int) -> int:
    """`count`, or InputError outside the range in which an interval means something."""
    if not 100 <= count <= 1_000_000:
        raise InputError(f"--resamples {count}: must be 100 to 1000000")
    return count


if __name__ == "__main__":
    run_stage("compare", main)
