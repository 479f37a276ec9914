"""A sweep's plots: a panel a metric, points with 95% intervals, baselines as bands behind them."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from refract.evaluation.directions import direction_of
from refract.experiments.ablation.collect import BASELINE
from refract.experiments.ablation.grids import Axis

_WIDTH, _HEIGHT, _COLUMNS = 3.6, 2.9, 3  # inches a panel; panels a row
_POINT_COLOUR = "#0b5fa5"
_BASELINE_COLOURS = ("#c4510c", "#5b6770", "#6a4c93")
_LONG_LABELS = 34  # letters of all labels together from which they are slanted


def draw_plots(
    summary: pd.DataFrame,
    metrics: Sequence[str],
    labels: Sequence[str],
    axis: Axis,
    title: str,
    paths: Sequence[Path],
) -> None:
    """One figure, saved to each path in the format of its suffix; same input, same bytes.

    labels: every point in order; one without a result leaves its place empty.
    """
    rows = -(-len(metrics) // _COLUMNS)
    columns = min(len(metrics), _COLUMNS)
    figure_size = (_WIDTH * columns, _HEIGHT * rows + 0.9)
    with matplotlib.rc_context({"svg.hashsalt": title, "font.size": 8.5}):
        figure = Figure(figsize=figure_size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel, metric in zip(panels.flat, metrics, strict=False):
            _draw_panel(panel, summary[summary["metric"] == metric], metric, labels, axis)
        for panel in list(panels.flat)[len(metrics) :]:
            panel.remove()
        figure.suptitle(title)
        handles = {
            text: handle
            for panel in figure.axes
            for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        if handles:
            figure.legend(
                list(handles.values()), list(handles), loc="outside lower center", ncols=4
            )
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            figure.savefig(path, dpi=150, metadata=metadata)


def _draw_panel(
    panel: Axes, values: pd.DataFrame, metric: str, labels: Sequence[str], axis: Axis
) -> None:
    numeric = axis.kind == "numeric"
    places = {label: float(label) if numeric else place for place, label in enumerate(labels)}
    points = values[values["row"].isin(labels) & (values["kind"] != BASELINE)]
    x = points["row"].map(places).to_numpy(float)
    order = np.argsort(x)
    mean = points["mean"].to_numpy(float)
    spread = [mean - points["low"].to_numpy(float), points["high"].to_numpy(float) - mean]
    panel.errorbar(
        x[order],
        mean[order],
        yerr=np.maximum(spread, 0)[:, order],  # rounding may leave an end on the wrong side
        fmt="o-" if numeric else "o",
        color=_POINT_COLOUR,
        markersize=4,
        linewidth=1.2,
        capsize=3,
    )
    _draw_baselines(panel, values[values["kind"] == BASELINE], places)
    _label(panel, metric, places, axis)


def _draw_baselines(panel: Axes, values: pd.DataFrame, places: dict[str, float]) -> None:
    """A constant baseline as a line with its band; one that varies as marks at its points."""
    names = [row.partition(" of ")[0] for row in values["row"]]
    colours = dict(zip(dict.fromkeys(names), _BASELINE_COLOURS, strict=False))
    in_legend: set[str] = set()
    for name, entry in zip(names, values.itertuples(), strict=True):
        colour = colours[name]
        text = None if name in in_legend else name
        in_legend.add(name)
        if entry.row == name:
            panel.axhline(entry.mean, color=colour, linestyle="--", linewidth=1.2, label=text)
            panel.axhspan(entry.low, entry.high, color=colour, alpha=0.12, linewidth=0)
            continue
        place = places[entry.row.partition(" of ")[2]]
        ends = [[max(entry.mean - entry.low, 0)], [max(entry.high - entry.mean, 0)]]
        panel.errorbar(
            [place],
            [entry.mean],
            ends,
            fmt="s",
            color=colour,
            markersize=3.5,
            alpha=0.7,
            label=text,
        )


def _label(panel: Axes, metric: str, places: dict[str, float], axis: Axis) -> None:
    direction = direction_of(metric)
    better = "" if direction is None else f"\n(better: {direction})"
    panel.set_title(f"{metric}{better}", fontsize=8.5)
    panel.set_xlabel(axis.name)
    panel.grid(alpha=0.25)
    if axis.kind == "categorical":
        slanted = sum(len(label) for label in places) > _LONG_LABELS
        panel.set_xticks(list(places.values()), list(places))
        if slanted:
            panel.tick_params(axis="x", labelrotation=30)
            for text in panel.get_xticklabels():
                text.set(horizontalalignment="right", rotation_mode="anchor")
        panel.margins(x=0.1)
