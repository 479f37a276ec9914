"""The per-item values of a sweep's experiments, and their means with intervals."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from dvc.repo import Repo

from refract.base.errors import InputError
from refract.evaluation.measures.bootstrap import MeanInterval
from refract.experiments.ablation.experiment_queue import ExperimentQueue
from refract.experiments.ablation.manifest import Sweep
from refract.experiments.compare.experiments import no_table
from refract.experiments.compare.item_tables import HALVES, HalfName, read_items
from refract.experiments.compare.revisions import Revision

Interval = Callable[[np.ndarray], MeanInterval | None]
POINT, BASELINE = "point", "baseline"


def collect_items(repo: Repo, sweep: Sweep, half: HalfName) -> pd.DataFrame:
    """point, experiment, item, variant, metric, value of every point that did not fail.

    Raises:
        InputError: an experiment or its table is gone, or every point failed.
    """
    queue = ExperimentQueue(repo, sweep.origin.commit)
    tables = []
    for point in sweep.points:
        if point.error:
            continue
        revision = queue.revision(point.experiment)
        if revision is None:
            raise InputError(f"experiment {point.experiment} is gone; run the sweep again")
        items = read_items(repo, Revision(point.experiment, revision), half)
        if items is None:
            raise InputError(no_table(Revision(point.experiment, revision), half))
        tables.append(items.assign(point=point.label, experiment=point.experiment))
    if not tables:
        raise InputError(f"{sweep.grid}: all {len(sweep.points)} points failed; nothing to report")
    columns = ["point", "experiment", "item", "variant", "metric", "value"]
    return pd.concat(tables, ignore_index=True)[columns]


def summarise(
    items: pd.DataFrame, labels: Sequence[str], half: HalfName, interval: Interval
) -> pd.DataFrame:
    """row, kind, metric, mean, low, high, count: the points in order, then the baselines.

    A baseline that is the same in every point is one row under its own name; one that the settings
    change has a row a point. `labels`: the points that have results.
    """
    layout = HALVES[half]
    parts = [_means(_of(items, label, layout.result), label, POINT, interval) for label in labels]
    for variant in layout.baselines:
        tables = {label: _of(items, label, variant) for label in labels}
        if all(_same(table, tables[labels[0]]) for table in tables.values()):
            parts.append(_means(tables[labels[0]], variant, BASELINE, interval))
        else:
            parts += [
                _means(table, f"{variant} of {label}", BASELINE, interval)
                for label, table in tables.items()
            ]
    return pd.concat(parts, ignore_index=True)


def _of(items: pd.DataFrame, label: str, variant: str) -> pd.DataFrame:
    """A point's values of one variant, in a fixed order."""
    chosen = items[(items["point"] == label) & (items["variant"] == variant)]
    return chosen[["metric", "item", "value"]].sort_values(["metric", "item"], ignore_index=True)


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.equals(other)


def _means(values: pd.DataFrame, row: str, kind: str, interval: Interval) -> pd.DataFrame:
    found = []
    for metric, group in values.groupby("metric", sort=True):
        mean = interval(group["value"].to_numpy(float))
        assert mean is not None  # no group is empty, and the table's values are finite
        found.append((row, kind, metric, mean.mean, mean.low, mean.high, mean.count))
    return pd.DataFrame(found, columns=["row", "kind", "metric", "mean", "low", "high", "count"])
