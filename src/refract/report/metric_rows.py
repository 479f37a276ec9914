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


def metric_files(folder: Path) -> dict[str, list[MetricRow]]:
    """File name without suffix -> rows, for each JSON file at any depth; `about` is left out."""
    if not folder.is_dir():
        return {}
    paths = sorted(folder.rglob("*.json"))
    tables = {
        p.relative_to(folder).with_suffix("").as_posix(): _rows(read_object(p)) for p in paths
    }
    return {name: rows for name, rows in tables.items() if rows}


def metric_notes(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """File name without suffix -> (key, text) of its `about`: how the numbers were made."""
    if not folder.is_dir():
        return {}
    notes = {}
    for path in sorted(folder.rglob("*.json")):
        about = read_object(path).get("about")
        if isinstance(about, Mapping) and about:
            name = path.relative_to(folder).with_suffix("").as_posix()
            notes[name] = [(key, str(value)) for key, value in flatten(about)]
    return notes


def _rows(tree: Mapping[str, Any]) -> list[MetricRow]:
    leaves = dict(flatten({key: value for key, value in tree.items() if key != "about"}))
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
