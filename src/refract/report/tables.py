"""The long-format tables of the evaluation, read into small typed structures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from refract.base.csv_rows import csv_reader, read_rows
from refract.base.errors import InputError, shorten

INFRARED_TABLE = "infrared_items.csv"
EDIT_TABLE = "edit_cases.csv"
FRAME_TABLE = "edit_frames.csv"
CURVE_TABLE = "strength_curve.csv"
KNOWN_TABLES = (INFRARED_TABLE, EDIT_TABLE, FRAME_TABLE, CURVE_TABLE)


@dataclass(frozen=True)
class ItemScores:
    """values: metric -> variant -> item -> value, each level in the order of the table."""

    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def of_item(self, item: str) -> dict[str, dict[str, float]]:
        """variant -> metric -> value of one item."""
        by_variant: dict[str, dict[str, float]] = {}
        for metric, variants in self.values.items():
            for variant, items in variants.items():
                if item in items:
                    by_variant.setdefault(variant, {})[metric] = items[item]
        return by_variant


@dataclass(frozen=True)
class CurvePoint:
    """A mean over the cases and its interval at one reference strength."""

    strength: float
    mean: float
    low: float
    high: float
    count: int


# case -> metric -> variant -> values
FrameScores = dict[str, dict[str, dict[str, list[float | None]]]]


def read_scores(path: Path, item_column: str) -> ItemScores:
    """Rows of item, variant, metric, value; empty where there is no such table.

    Raises InputError: a column is missing or a value is no finite number.
    """
    values: dict[str, dict[str, dict[str, float]]] = {}
    for row in _rows(path, (item_column, "variant", "metric", "value")):
        by_item = values.setdefault(row["metric"], {}).setdefault(row["variant"], {})
        by_item[row[item_column]] = _number(path, row, "value")
    return ItemScores(values)


def read_groups(path: Path) -> dict[str, str]:
    """Item -> time of day of the infrared table; empty where there is no such table."""
    return {row["item"]: row["daytime"] for row in _rows(path, ("item", "daytime"))}


def read_frames(path: Path) -> FrameScores:
    """One value a frame, None where the table has none; empty where there is no such table."""
    frames: FrameScores = {}
    for row in _rows(path, ("case", "variant", "metric", "frame", "value")):
        frame = _number(path, row, "frame")
        if frame != int(frame) or not 0 <= frame < 1_000_000:
            raise InputError(
                f"{path}: frame {shorten(row['frame'])}: must be a whole number from 0"
            )
        metrics = frames.setdefault(row["case"], {})
        values = metrics.setdefault(row["metric"], {}).setdefault(row["variant"], [])
        values += [None] * (int(frame) + 1 - len(values))
        values[int(frame)] = _number(path, row, "value")
    return frames


def read_curve(path: Path) -> dict[str, list[CurvePoint]]:
    """Metric -> points in the order of the table; empty where there is no such table."""
    curves: dict[str, list[CurvePoint]] = {}
    for row in _rows(path, ("metric", "strength", "mean", "low", "high", "count")):
        strength, mean, low, high, count = (
            _number(path, row, name) for name in ("strength", "mean", "low", "high", "count")
        )
        point = CurvePoint(strength, mean, low, high, int(count))
        curves.setdefault(row["metric"], []).append(point)
    return curves


def read_any(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of whatever columns."""
    with csv_reader(path) as reader:
        rows = list(reader)
    return (rows[0], rows[1:]) if rows else ([], [])


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    return read_rows(path, columns) if path.is_file() else []


def _number(path: Path, row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise InputError(f"{path}: {column} {shorten(row[column])}: must be a finite number")
    return value
