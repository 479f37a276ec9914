"""The sweeps of ablations.yaml: named grids of points, each a few settings of params.yaml."""

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from refract.base.errors import InputError, shorten
from refract.base.files import flatten
from refract.base.yaml_files import read_yaml
from refract.experiments.compare.item_tables import HALVES
from refract.params.cases import load_cases, with_overrides
from refract.params.section import Items, Section, Seed, validate


def _shaped(pattern: str) -> AfterValidator:
    """For keys of mappings; of pydantic's own `pattern` an error could not name the place."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must match {pattern}")
        return text

    return AfterValidator(check)


Name = Annotated[str, _shaped("[a-z][a-z0-9_]{0,39}")]
Label = Annotated[str, _shaped("[A-Za-z0-9][A-Za-z0-9 ._+=-]{0,39}")]
Key = Annotated[str, _shaped(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")]


def _check_value(value: object) -> object:
    for item in value if isinstance(value, list) else [value]:
        if item is not None and not isinstance(item, bool | int | float | str):
            raise ValueError(
                f"a setting is {shorten(value)}; must be a number, a text, true, false, null or a "
                "list of these"
            )
        if isinstance(item, str) and "${" in item:
            raise ValueError(f"a setting is {shorten(item)}; must hold no ${{, which DVC replaces")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


Overrides = dict[Key, Annotated[Any, AfterValidator(_check_value)]]


class Axis(Section):
    """numeric: the labels of the points are the places on it."""

    name: Annotated[str, Field(min_length=1, max_length=60, description="text below the plots")]
    kind: Annotated[Literal["numeric", "categorical"], Field(description="how points are placed")]


class Grid(Section):
    title: Annotated[str, Field(min_length=1, max_length=80)]
    about: Annotated[str, Field(min_length=1, max_length=300, description="one line")]
    half: Annotated[Literal["edit", "infrared"], Field(description="whose metrics are shown")]
    axis: Axis
    common: Annotated[Overrides, Field(default_factory=dict, description="settings of every point")]
    points: Annotated[dict[Label, Overrides], Field(min_length=1, max_length=64)]
    seeds: Annotated[
        Items[Seed], Field(max_length=16, description="each point runs with each; none: as it is")
    ] = ()
    metrics: Annotated[
        Items[Annotated[str, Field(min_length=1)]] | None,
        Field(min_length=1, description="patterns of the metrics shown; null for the half's own"),
    ] = None

    @model_validator(mode="after")
    def _points_and_seeds_fit(self) -> "Grid":
        for label in self.points:
            if label in HALVES[self.half].baselines:
                raise ValueError(
                    f"point {label!r}: is the name of a baseline's row; choose another"
                )
            if self.axis.kind == "numeric" and not _is_number(label):
                raise ValueError(f"point {label!r}: must be a number, as the axis is numeric")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)}: must all differ")
        if self.seeds and any("seed" in given for given in (self.common, *self.points.values())):
            raise ValueError("seeds: must be left out where common or a point sets seed")
        return self

    @property
    def runs(self) -> list[tuple[str, int | None]]:
        """Label and seed of every experiment, seed by seed, so that an unfinished table is fair."""
        return [(label, seed) for seed in self.seeds or (None,) for label in self.points]

    def overrides(self, label: str, seed: int | None = None) -> dict[str, Any]:
        """All settings of a point; its own win over the common ones."""
        seeded = {} if seed is None else {"seed": seed}
        return {**self.common, **self.points[label], **seeded}


class Grids(Section):
    grids: Annotated[dict[Name, Grid], Field(min_length=1)]


def load_grids(path: Path, params_path: Path) -> dict[str, Grid]:
    """Every grid of `path`.

    Raises InputError: a fault of either file, or a setting that params.yaml lacks or that is a
    whole section there.
    """
    grids = validate(Grids, read_yaml(path), path).grids
    params = read_yaml(params_path)
    for name, grid in grids.items():
        for label, point in grid.points.items():
            for key in (*grid.common, *point):
                check_key(params, key, f"{path}: {name}, point {label!r}", params_path)
    return grids


def find_grid(grids: Mapping[str, Grid], name: str | None) -> Grid:
    """The grid called `name`; InputError naming those that exist."""
    if name is None or name not in grids:
        problem = f"grid {shorten(name)} does not exist;" if name else "which grid?"
        raise InputError(f"{problem} allowed are {', '.join(grids)}")
    return grids[name]


def check_key(params: Mapping[str, Any], key: str, where: str, params_path: Path) -> None:
    """InputError, told with `where`, for a dotted key that names no setting of `params`."""
    value: Any = params
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            known = ", ".join(value) if isinstance(value, Mapping) else "no keys at all"
            raise InputError(f"{where}: {params_path} has no {key}; at {part!r} it has {known}")
        value = value[part]
    if isinstance(value, Mapping):
        raise InputError(f"{where}: {key} is a section of {params_path}; name one of its keys")


def with_dotted_keys(params: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the settings with dotted keys set, which must exist."""
    changed = deepcopy(dict(params))
    for key, value in overrides.items():
        *above, leaf = key.split(".")
        section = changed
        for part in above:
            section = section[part]
        section[leaf] = value
    return changed


def check_values(grid: Grid, params_path: Path, cases_path: Path, where: str) -> None:
    """Refuse a point whose settings no stage would accept, before anything is computed.

    Raises InputError: naming the point, the key, its value and what is allowed.
    """
    from refract.params.whole import Params

    params, cases = read_yaml(params_path), load_cases(cases_path)
    for label in grid.points:
        changed = with_dotted_keys(params, grid.overrides(label))
        checked = validate(Params, changed, f"{where}, point {label!r}")
        for name, case in cases.items():
            with_overrides(checked, name, case)


def unreached_cases(grid: Grid, cases_path: Path) -> list[str]:
    """Cases that set one of the swept settings for themselves, so that the sweep misses them."""
    swept = {key for label, seed in grid.runs for key in grid.overrides(label, seed)}
    swept -= grid.common.keys() - {key for point in grid.points.values() for key in point}
    cases = load_cases(cases_path)
    return [name for name, case in cases.items() if swept & dict(flatten(case.overrides)).keys()]
