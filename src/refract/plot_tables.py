"""Long-format CSV tables for `dvc plots`: one value a row."""

import csv
from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path

from refract.metrics_file import significant


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under `columns`; a row with a non-finite number is left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            if all(isfinite(value) for value in row if isinstance(value, float)):
                writer.writerow(significant(v) if isinstance(v, float) else v for v in row)
