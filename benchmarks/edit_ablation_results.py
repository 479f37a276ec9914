"""What the runs of an ablation gave, as arrays by seed and case, and its means with intervals."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.edit_ablation_variants import DEFAULT
from refract.evaluation.measures.bootstrap import MeanInterval, mean_interval

_RESAMPLES = 2000

Side = Literal["edit", "plain"]
Grid = NDArray[np.float64]  # (seeds, cases), nan where there is no value
ByCase = NDArray[np.float64]  # (cases,)


@dataclass(frozen=True)
class Results:
    """documents: variant -> seed -> what `AblationRuns.run` wrote."""

    documents: Mapping[str, Mapping[int, Mapping[str, Any]]]

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for runs in self.documents.values() for seed in runs})

    @property
    def cases(self) -> list[str]:
        every = (run["cases"] for runs in self.documents.values() for run in runs.values())
        return sorted({name for cases in every for name in cases})

    def facts(self, key: str) -> dict[str, list[str]]:
        """Each value that a fact of the runs has, such as `machine`, and the runs that have it."""
        found: dict[str, list[str]] = {}
        for variant, runs in self.documents.items():
            for seed, run in runs.items():
                found.setdefault(run[key], []).append(f"{variant}, seed {seed}")
        return found

    def level(self, variant: str, metric: str, side: Side = "edit") -> ByCase:
        """Mean over seeds of every case."""
        return _over_seeds(self._grid(variant, metric, side))

    def gain(self, variant: str, metric: str) -> ByCase:
        """What the reference changes: edit minus the plain edit by the same settings."""
        edit, plain = (self._grid(variant, metric, side) for side in ("edit", "plain"))
        return _over_seeds(edit - plain)

    def to_default(self, variant: str, metric: str) -> ByCase:
        """Edit minus the default's edit, paired by seed and case."""
        return _over_seeds(
            self._grid(variant, metric, "edit") - self._grid(DEFAULT, metric, "edit")
        )

    def _grid(self, variant: str, metric: str, side: str) -> Grid:
        runs, cases = self.documents.get(variant, {}), self.cases
        grid = np.full((len(self.seeds), len(cases)), np.nan)
        for row, seed in enumerate(self.seeds):
            if seed in runs:
                scores = (runs[seed]["cases"].get(name, {}).get(side, {}) for name in cases)
                values = [own.get(metric) for own in scores]
                grid[row] = [np.nan if value is None else value for value in values]
        return grid


def load_results(work: Path) -> Results:
    """Every result file of the folder."""
    documents: dict[str, dict[int, Any]] = {}
    for path in sorted((work / "results").glob("*.json")):
        run = json.loads(path.read_text())
        documents.setdefault(run["variant"], {})[run["seed"]] = run
    return Results(documents)


def interval(values: Sequence[float] | ByCase) -> MeanInterval | None:
    """Mean over cases and its 95% bootstrap interval; None where no case has a value."""
    return mean_interval(np.asarray(values).tolist(), resamples=_RESAMPLES, seed=0)


def _over_seeds(grid: Grid) -> ByCase:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a case without any value stays nan
        return np.asarray(np.nanmean(grid, 0))
