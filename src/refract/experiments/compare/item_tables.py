"""The per-item values of a revision, both halves in one form: item, variant, metric, value."""

import io
import logging
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from dvc.repo import Repo

from refract.base.errors import InputError, shorten
from refract.experiments.compare.revisions import Revision, read_file

logger = logging.getLogger(__name__)

HalfName = Literal["edit", "infrared"]
ITEM_COLUMNS = ["item", "variant", "metric", "value"]
_BY_DAYTIME = ("psnr",)  # given for day and night apart too


@dataclass(frozen=True)
class Half:
    """Where a half's table is: its file, the column that names the item, and its variants.

    result: the variant that is the outcome of the settings. baselines: those shown beside it.
    """

    table: str
    item: str
    result: str
    baselines: tuple[str, ...]


HALVES: dict[HalfName, Half] = {
    "edit": Half("out/plots/edit_cases.csv", "case", "reference", ("plain",)),
    "infrared": Half(
        "out/plots/infrared_items.csv", "item", "adapter", ("mean_infrared", "zero_map")
    ),
}


def read_items(repo: Repo, revision: Revision, half: HalfName) -> pd.DataFrame | None:
    """Rows of `ITEM_COLUMNS`; None where the revision has no such table or an empty one.

    Raises InputError: a table without its columns, with a value that is no finite number or with
    two values of one item; or one that is in no cache.
    """
    layout = HALVES[half]
    content = read_file(repo, revision, layout.table)
    if content is None:
        return None
    items = parse_items(content, layout, where=f"{layout.table} of {revision}")
    return None if items.empty else items


def parse_items(content: bytes, layout: Half, where: str) -> pd.DataFrame:
    """The rows of one CSV file; names stay text, whatever they look like."""
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not a CSV table: {shorten(str(error))}") from error
    wanted = [layout.item, "variant", "metric", "value"]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise InputError(f"{where}: column {missing[0]!r} is missing; has {', '.join(table)}")
    values = pd.to_numeric(table["value"], errors="coerce").astype(float)
    bad = ~values.abs().lt(float("inf"))
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise InputError(f"{where}:{row + 2}: value {table['value'][row]!r} is no finite number")
    items = table.rename(columns={layout.item: "item"}).assign(value=values)
    if "daytime" in items:
        apart = items[items["metric"].isin(_BY_DAYTIME) & items["daytime"].isin(["day", "night"])]
        apart = apart.assign(metric=apart["daytime"] + "." + apart["metric"])
        items = pd.concat([items, apart], ignore_index=True)
    twice = items.duplicated(["item", "variant", "metric"])
    if twice.any():
        row = items[twice].iloc[0]
        raise InputError(
            f"{where}: two values of {row['item']}, {row['variant']}, {row['metric']}; "
            "one is allowed"
        )
    return items[ITEM_COLUMNS]


def wide(items: pd.DataFrame, variant: str) -> pd.DataFrame:
    """One variant's values, a row an item and a column a metric; nan where an item has none.

    Of the items of a sweep, which have a column `seed`, a row a (seed, item).
    """
    rows = items[items["variant"] == variant]
    index = [name for name in ("seed", "item") if name in items]
    return rows.pivot(index=index, columns="metric", values="value")
