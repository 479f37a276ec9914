"""The evaluation's files, stable bytes: metrics as nested JSON with their intervals, and tables."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

from refract.base.atomic import write_text
from refract.evaluation.measures.bootstrap import MeanInterval

DIGITS = 5  # significant digits; beyond them a mean over some dozens of items says nothing
DECIMALS = 6  # a difference below it is rounding, not a result

Tree = dict[str, Any]


def significant(value: float) -> float:
    """Rounded to `DIGITS` significant digits and `DECIMALS` places.

    Raises ValueError: a number that is not finite, which JSON cannot hold.
    """
    if not isfinite(value):
        raise ValueError(f"metric value {value} is not finite")
    return round(float(f"{value:.{DIGITS}g}"), DECIMALS) + 0.0  # + 0.0: no negative zero


def put(tree: Tree, key: str, value: object) -> None:
    """Set a dotted key, making the levels above it."""
    *above, leaf = key.split(".")
    for name in above:
        tree = tree.setdefault(name, {})
    tree[leaf] = significant(value) if isinstance(value, float) else value


def put_interval(tree: Tree, key: str, interval: MeanInterval | None) -> None:
    """`key`, `key_low` and `key_high`; nothing where no item had a value."""
    if interval is not None:
        put(tree, key, interval.mean)
        put(tree, f"{key}_low", interval.low)
        put(tree, f"{key}_high", interval.high)


def write_metrics(tree: Mapping[str, Any], path: Path) -> None:
    """Write the tree as indented JSON in its own order."""
    write_text(path, json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under `columns`; a row with a non-finite number is left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            with suppress(ValueError):  # of a number that is not finite
                writer.writerow([significant(v) if isinstance(v, float) else v for v in row])
