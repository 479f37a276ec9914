"""Every number of the metrics files as rows: key, value, and the ends of its interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refract.base.files import flatten, read_object


@dataclass(frozen=True)
class MetricRow:
    key: str
    value: str
    interval: str = ""


@dataclass(frozen=True)
class MetricFile:
    """notes: (key, text) of its `about`, which says how the numbers were made."""

    rows: list[MetricRow]
    notes: list[tuple[str, str]]


def metric_files(folder: Path) -> dict[str, MetricFile]:
    """File name without suffix -> what is in it, for each JSON file at any depth."""
    files = {}
    for path in sorted(folder.rglob("*.json")):
        tree = read_object(path)
        about = tree.pop("about", None)
        facts = flatten(about) if isinstance(about, dict) else ()
        notes = [(key, str(value)) for key, value in facts]
        files[path.relative_to(folder).with_suffix("").as_posix()] = MetricFile(_rows(tree), notes)
    return files


def _rows(tree: Mapping[str, Any]) -> list[MetricRow]:
    leaves = dict(flatten(tree))
    rows = []
    for key, value in leaves.items():
        stem = key.removesuffix("_low").removesuffix("_high")
        if stem != key and stem in leaves:
            continue  # stands beside its mean
        ends = [leaves.get(f"{key}_{end}") for end in ("low", "high")]
        interval = f"[{_text(ends[0])}, {_text(ends[1])}]" if None not in ends else ""
        rows.append(MetricRow(key, _text(value), interval))
    return rows


def _text(value: object) -> str:
    return f"{value:g}".replace("-", "−") if isinstance(value, float) else str(value)
