"""Try every fault and write what came of it to docs/reliability.md; exit 1 after any loss.

python -m tests.faults [--seed 0] [--only kills,malformed] [--short]
"""

import argparse
import importlib
import sys
from functools import partial
from pathlib import Path

from refract.base.atomic import write_atomic
from tests.faults.row import Row

# Modules of this package with `TITLE`, and `run(seed, long)` that returns the rows of its table.
AREAS = ("malformed", "kills", "storage", "workers", "paths", "resources", "determinism")
_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(AREAS), help="areas, separated by commas")
    parser.add_argument("--short", action="store_true", help="fewer of each; for a first look")
    arguments = parser.parse_args()
    losses = 0
    for name in arguments.only.split(","):
        if name not in AREAS:
            parser.error(f"--only {name}: must be of {', '.join(AREAS)}")
        area = importlib.import_module(f"tests.faults.{name}")
        rows = area.run(arguments.seed, not arguments.short)
        table = markdown(rows)
        print(f"\n{area.TITLE}\n\n{table}", flush=True)
        if not arguments.short:
            page = with_table(_PAGE.read_text(), name, table)
            write_atomic(_PAGE, partial(_write, page))
        losses += sum(row.losses for row in rows)
    sys.exit(1 if losses else 0)


def markdown(rows: list[Row]) -> str:
    """The table of one area."""
    lines = ["| tried | times | outcome | losses |", "|---|---|---|---|"]
    lines += [f"| {row.tried} | {row.count} | {row.outcome} | {row.losses} |" for row in rows]
    return "\n".join(lines) + "\n"


def with_table(page: str, area: str, table: str) -> str:
    """`page` with what stands between the two marks of `area` replaced.

    Raises ValueError where the page lacks a mark.
    """
    begin, end = f"<!-- {area} -->\n", f"<!-- end of {area} -->\n"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"docs/reliability.md lacks the marks of {area}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def _write(text: str, path: Path) -> None:
    path.write_text(text)


if __name__ == "__main__":
    main()
