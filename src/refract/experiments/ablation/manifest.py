"""points.json: which experiments a sweep is made of, so that it can be reported at any time."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from refract.base.atomic import write_text
from refract.base.errors import InputError
from refract.base.files import read_json_object
from refract.experiments.ablation.points import Origin, Point
from refract.params.section import Items, Section, validate

FILE = "points.json"


class Sweep(Section):
    """A grid's points and what they started from."""

    grid: str
    origin: Origin
    points: Annotated[Items[Point], Field(min_length=1)]

    @property
    def labels(self) -> list[str]:
        """Of every point, in order."""
        return list(dict.fromkeys(point.label for point in self.points))

    @property
    def failed(self) -> list[Point]:
        return [point for point in self.points if point.error]


def write_sweep(sweep: Sweep, folder: Path) -> None:
    """Write `folder/points.json`."""
    content = sweep.model_dump(mode="json")
    write_text(folder / FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_sweep(folder: Path) -> Sweep:
    """What `write_sweep` wrote.

    Raises InputError: no such file, or one that something else wrote.
    """
    path = folder / FILE
    if not path.exists():
        raise InputError(f"{path}: there is none; run the sweep first")
    return validate(Sweep, read_json_object(path), path)
