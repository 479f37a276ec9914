"""Which metrics a sweep's table and plots show, and in which order.

Patterns, since names vary with the model that measured. All metrics are in the CSV files.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from math import floor, log10

import pandas as pd

from refract.evaluation.directions import direction_of
from refract.evaluation.measures.metrics_file import significant
from refract.experiments.compare.item_tables import HalfName

PREFERRED: dict[HalfName, tuple[str, ...]] = {
    "edit": (
        "product.fidelity",
        "product.histogram_overlap",
        "product.delta_e",
        "product.clip*_i_crop",
        "product.dino*_crop",
        "background.psnr",
        "temporal.motion_fidelity*",
        "temporal.relative_*",
    ),
    "infrared": (
        "psnr",
        "day.psnr",
        "night.psnr",
        "ssim",
        "lpips",
        "l1",
        "targets_hallucinated",
        "targets_missed",
    ),
}


def choose_metrics(
    present: Iterable[str], half: HalfName, patterns: Sequence[str] | None = None
) -> list[str]:
    """The present metrics that fit, by pattern and then by name; all where none fits.

    patterns: a grid's own in place of the half's.
    """
    names = sorted(set(present))
    wanted = PREFERRED[half] if patterns is None else patterns
    fitting = [name for pattern in wanted for name in names if fnmatchcase(name, pattern)]
    return list(dict.fromkeys(fitting)) or names


_ARROWS = {"higher": "↑", "lower": "↓"}
_NONE = "–"
_DIGITS = 3  # significant ones of the largest mean in a column


def summary_as_csv(summary: pd.DataFrame) -> str:
    """Long format with every metric."""
    numbers = ("mean", "low", "high", "seed_low", "seed_high")
    rounded = summary.assign(**{name: summary[name].map(significant) for name in numbers})
    return rounded.to_csv(index=False, lineterminator="\n")


def formatted(summary: pd.DataFrame, metrics: Sequence[str], rows: Sequence[str]) -> pd.DataFrame:
    """`mean [low, high]` by row and metric; a dash where a row has no such metric.

    rows: all that shall appear, in order, those without any result too.
    """
    cells = pd.DataFrame(_NONE, index=list(rows), columns=list(metrics), dtype=object)
    for metric in metrics:
        chosen = summary[summary["metric"] == metric]
        digits = decimals(chosen["mean"].abs().max())
        for entry in chosen.itertuples():
            ends = f"[{entry.low:.{digits}f}, {entry.high:.{digits}f}]"
            cells.loc[entry.row, metric] = f"{entry.mean:.{digits}f} {ends}"
    cells.insert(0, "n", [_count(summary, row) for row in rows])
    return cells


def decimals(largest: float) -> int:
    """Places that show `_DIGITS` significant digits of a number of that magnitude."""
    return 2 if largest == 0 else min(max(_DIGITS - 1 - floor(log10(largest)), 0), 8)


def _count(summary: pd.DataFrame, row: str) -> str:
    """How many items, and seeds if several, a row's means are over; a range if metrics differ."""
    of_row = summary[summary["row"] == row]
    if of_row.empty:
        return _NONE
    counts = [of_row["count"], *([of_row["seeds"]] if summary["seeds"].max() > 1 else [])]
    ends = [(int(values.min()), int(values.max())) for values in counts]
    return " x ".join(str(high) if low == high else f"{low}-{high}" for low, high in ends)


def cells_as_markdown(cells: pd.DataFrame, first: str) -> str:
    """The table with arrows for the better direction; `first` heads the rows."""
    named = cells.rename(columns=_with_arrow).rename_axis(first).reset_index()
    return str(named.to_markdown(index=False, disable_numparse=True))


def _with_arrow(metric: str) -> str:
    direction = direction_of(metric)
    if direction is None:
        return metric
    return f"{metric} {_ARROWS.get(direction.way, f'→{direction.aim:g}')}"


def as_latex(cells: pd.DataFrame, first: str, caption: str, label: str) -> str:
    """A booktabs table; needs no package but booktabs."""
    styler = cells.rename_axis(first).reset_index().style.hide(axis="index")
    styler = styler.format(_latex_cell).format_index(_latex_text, axis="columns")
    return str(
        styler.to_latex(
            hrules=True,
            position_float="centering",
            caption=_latex_text(caption),
            label=f"tab:{label}",
            column_format="l" + "r" * len(cells.columns),
        )
    )


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&",
    "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _latex_cell(text: str) -> str:
    return "--" if text == _NONE else _latex_text(text)
