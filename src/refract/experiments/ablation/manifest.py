"""points.json: which experiments a sweep is made of, so that it can be reported at any time."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from refract.base.atomic import write_atomic
from refract.base.errors import InputError, shorten
from refract.base.files import refuse_special
from refract.experiments.ablation.points import Origin, Point
from refract.params.section import Items, Section, validate

FILE = "points.json"


class _Origin(Section):
    commit: str
    changed: Items[str]
    digest: str


class _Point(Section):
    label: str
    overrides: dict[str, Any]
    experiment: str
    as_present: bool
    reused: bool
    error: str
    seed: int | None = None


class _Manifest(Section):
    grid: str
    origin: _Origin
    points: Items[_Point] = Field(min_length=1)


@dataclass(frozen=True)
class Sweep:
    """A grid's points and what they started from."""

    grid: str
    origin: Origin
    points: Sequence[Point]

    @property
    def labels(self) -> list[str]:
        """Of every point, in order."""
        return list(dict.fromkeys(point.label for point in self.points))

    @property
    def failed(self) -> list[Point]:
        return [point for point in self.points if point.error]


def write_sweep(sweep: Sweep, folder: Path) -> None:
    """Write `folder/points.json`."""
    content = {
        "grid": sweep.grid,
        "origin": asdict(sweep.origin),
        "points": [asdict(point) for point in sweep.points],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / FILE, lambda place: place.write_text(text, encoding="utf-8"))


def read_sweep(folder: Path) -> Sweep:
    """What `write_sweep` wrote.

    Raises:
        InputError: no such file, or one that something else wrote.
    """
    path = folder / FILE
    refuse_special(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; run the sweep first") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {shorten(str(error))}; run the sweep again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping; run the sweep again")
    document = validate(_Manifest, content, path)
    origin = Origin(document.origin.commit, document.origin.changed, document.origin.digest)
    points = [Point(**point.model_dump()) for point in document.points]
    return Sweep(document.grid, origin, points)
