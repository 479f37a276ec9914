"""The per-item values of a sweep's experiments, and their means with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from dvc.repo import Repo

from refract.base.errors import InputError
from refract.evaluation.measures.bootstrap import Resampling, crossed_interval
from refract.experiments.ablation.manifest import Sweep
from refract.experiments.compare.experiments import no_table
from refract.experiments.compare.item_tables import HALVES, HalfName, read_items
from refract.experiments.compare.revisions import find_revision

POINT, BASELINE = "point", "baseline"
_COLUMNS = [
    "row", "kind", "metric", "mean", "low", "high", "count", "seeds", "seed_low", "seed_high",
]  # fmt: skip


def collect_items(repo: Repo, sweep: Sweep, half: HalfName) -> pd.DataFrame:
    """point, seed, experiment, item, variant, metric, value of every run that did not fail.

    seed: text, empty in a sweep without an axis of seeds.

    Raises InputError: an experiment or its table is gone, or every point failed.
    """
    tables = []
    for point in sweep.points:
        if point.error:
            continue
        try:
            revision = find_revision(repo, point.experiment)
        except InputError as error:
            gone = f"experiment {point.experiment} is gone; run the sweep again"
            raise InputError(gone) from error
        items = read_items(repo, revision, half)
        if items is None:
            raise InputError(no_table(revision, half))
        seed = "" if point.seed is None else str(point.seed)
        tables.append(items.assign(point=point.label, seed=seed, experiment=point.experiment))
    if not tables:
        raise InputError(f"{sweep.grid}: all {len(sweep.points)} points failed; nothing to report")
    columns = ["point", "seed", "experiment", "item", "variant", "metric", "value"]
    return pd.concat(tables, ignore_index=True)[columns]


def summarise(
    items: pd.DataFrame, labels: Sequence[str], half: HalfName, how: Resampling
) -> pd.DataFrame:
    """A row of `_COLUMNS` each: the points in order, then the baselines.

    Means over seeds and items; count is of items, seed_low and seed_high are the lowest and highest
    mean of a seed.

    A baseline that is the same in every point is one row under its own name; one that the settings
    change has a row a point. `labels`: the points that have results.
    """
    layout = HALVES[half]
    parts = [_means(_of(items, label, layout.result), label, POINT, how) for label in labels]
    for variant in layout.baselines:
        tables = {label: _of(items, label, variant) for label in labels}
        if all(table.equals(tables[labels[0]]) for table in tables.values()):
            parts.append(_means(tables[labels[0]], variant, BASELINE, how))
        else:
            parts += [
                _means(table, f"{variant} of {label}", BASELINE, how)
                for label, table in tables.items()
            ]
    return pd.concat(parts, ignore_index=True)


def _of(items: pd.DataFrame, label: str, variant: str) -> pd.DataFrame:
    """A point's values of one variant, in a fixed order."""
    chosen = items[(items["point"] == label) & (items["variant"] == variant)]
    keys = ["metric", "seed", "item"]
    return chosen[[*keys, "value"]].sort_values(keys, ignore_index=True)


def _means(values: pd.DataFrame, row: str, kind: str, how: Resampling) -> pd.DataFrame:
    rows = []
    for metric, group in values.groupby("metric", sort=True):
        by_seed = group.pivot(index="seed", columns="item", values="value").to_numpy(float)
        mean = crossed_interval(by_seed, how)
        assert mean is not None  # no group is empty, and the table's values are finite
        seeds = np.nanmean(by_seed, 1)
        spread = len(seeds), seeds.min(), seeds.max()
        rows.append((row, kind, metric, mean.mean, mean.low, mean.high, mean.count, *spread))
    return pd.DataFrame(rows, columns=_COLUMNS)
