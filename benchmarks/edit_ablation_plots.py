"""Plots of an ablation of the editing: equal results make equal files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from benchmarks.edit_ablation_report import (
    BACKGROUND,
    CENTRE,
    CHANGE,
    CONSISTENCY,
    CROP,
    DELTA_E,
    IOU,
    OVERLAP,
    Measure,
)
from benchmarks.edit_ablation_results import Results, interval
from benchmarks.edit_ablation_variants import DEFAULT, GROUPS, variant_name
from refract.base.atomic import write_atomic
from refract.evaluation.measures.bootstrap import MeanInterval

_OF_STRENGTH = (OVERLAP, DELTA_E, CROP, BACKGROUND, CENTRE, IOU, CONSISTENCY, CHANGE)
_CHOICES = ("timesteps", "layers")
_DPI = 90


def write_plots(results: Results, folder: Path) -> None:
    """edit_strength.png, edit_trade.png and edit_choices.png."""
    figures = {
        "edit_strength": strength_figure,
        "edit_trade": trade_figure,
        "edit_choices": choices_figure,
    }
    for name, draw in figures.items():
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
            matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
            _save(draw(results), folder / f"{name}.png")


def strength_figure(results: Results) -> Figure:
    """Every measure against the strength of the reference, with the plain edit as a line."""
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    panels = figure.subplots(2, 4)
    for axes, measure in zip(panels.flat, _OF_STRENGTH, strict=True):
        levels = {
            float(label): found
            for label in GROUPS["strength"]
            if (found := interval(_level(results, "strength", label, measure))) is not None
        }
        axes.set_title(measure.name)
        axes.set_xlabel("ref_strength")
        if not levels:
            axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
            continue
        low, mean, high = np.array([[x.low, x.mean, x.high] for x in levels.values()]).T
        axes.fill_between(list(levels), low, high, alpha=0.2, linewidth=0)
        axes.plot(list(levels), mean, marker="o", markersize=4)
        if 0.0 in levels:
            axes.axhline(levels[0.0].mean, color="0.4", linestyle="--", linewidth=1)
    figure.suptitle("With the reference at rising strength (band: 95%); dashed: the plain edit")
    return figure


def _level(results: Results, group: str, label: str, measure: Measure) -> list[float]:
    return results.level(variant_name(group, label), measure.key).tolist()


def trade_figure(results: Results) -> Figure:
    """What each variant gains in overlap against what it costs the background, a panel a group."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    panels = figure.subplots(-(-len(GROUPS) // 4), 4, sharex=True, sharey=True)
    points = {group: _trade_points(results, group) for group in GROUPS}
    every = np.array([point for own in points.values() for point in own.values()]).reshape(-1, 2)
    for index, (axes, group) in enumerate(zip(panels.flat, GROUPS, strict=False)):
        axes.scatter(every[:, 0], every[:, 1], s=8, color="0.85")
        own = np.array(list(points[group].values())).reshape(-1, 2)
        axes.scatter(own[:, 0], own[:, 1], s=22, color=f"C{index % 10}", zorder=3)
        default = points[group].get(_default_label(group))
        if default is not None:
            axes.scatter([default[0]], [default[1]], s=80, color="black", marker="*", zorder=4)
        axes.set_title(group)
        axes.axhline(0, color="0.4", linewidth=0.8)
        axes.axvline(0, color="0.4", linewidth=0.8)
        axes.margins(0.18)
    figure.supxlabel("background lost to its own plain edit, dB")
    figure.supylabel("overlap gained over its own plain edit")
    figure.suptitle("Means of each variant; the star is the default")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # settles the layout, on which the extents depend
    for axes, group in zip(panels.flat, GROUPS, strict=False):
        _write_labels(axes, points[group], canvas)
    return figure


def _trade_points(results: Results, group: str) -> dict[str, tuple[float, float]]:
    """label -> (dB of background lost, overlap gained), means."""
    points = {}
    for label in GROUPS[group]:
        variant = variant_name(group, label)
        lost, gained = (interval(results.gain(variant, m.key)) for m in (BACKGROUND, OVERLAP))
        if lost is not None and gained is not None:
            points[label] = (-lost.mean, gained.mean)
    return points


def _default_label(group: str) -> str:
    return next(label for label, changes in GROUPS[group].items() if not changes)


def _write_labels(
    axes: Axes, points: Mapping[str, tuple[float, float]], canvas: FigureCanvasAgg
) -> None:
    """A label beside each point, at the nearest place that covers no point and no earlier label."""
    centres = axes.transData.transform(np.array(list(points.values())).reshape(-1, 2))
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in centres]
    for label, point in points.items():
        text = axes.annotate(
            label, point, xytext=(0, 0), textcoords="offset points", fontsize=7, va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 0},
        )  # fmt: skip
        taken.append(_place(text, axes, canvas, taken))


def _place(text: Annotation, axes: Axes, canvas: FigureCanvasAgg, taken: Sequence[Bbox]) -> Bbox:
    """Move a label to the first free place around its point; returns where it stands."""
    renderer = canvas.get_renderer()
    panel = axes.get_window_extent(renderer)
    for distance in range(8, 120, 6):
        for angle in np.radians((0, 180, 30, -30, 150, -150, 60, -60, 120, -120, 90, -90)):
            text.set_position((distance * np.cos(angle), distance * np.sin(angle)))
            text.set_horizontalalignment("left" if np.cos(angle) > -0.1 else "right")
            text.update_positions(renderer)
            extent = Text.get_window_extent(text, renderer)  # without the line to the point
            inside = panel.x0 <= extent.x0 and extent.x1 <= panel.x1
            inside = inside and panel.y0 <= extent.y0 and extent.y1 <= panel.y1
            if inside and not any(extent.overlaps(other) for other in taken):
                return extent
    return extent


def choices_figure(results: Results) -> Figure:
    """Gain in overlap and loss of background by noise level of the bank and by layers."""
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    panels = figure.subplots(2, len(_CHOICES), sharex="col", sharey="row")
    for row, measure in zip(panels, (OVERLAP, BACKGROUND), strict=True):
        for axes, group in zip(row, _CHOICES, strict=True):
            _draw_choices(axes, results, group, measure)
        row[0].set_ylabel(f"{measure.name}: to the plain edit")
    for axes, group in zip(panels[-1], _CHOICES, strict=True):
        axes.set_xlabel(f"ref_{group}")
    figure.suptitle("With the reference less without it (95%); the default is filled")
    return figure


def _draw_choices(axes: Axes, results: Results, group: str, measure: Measure) -> None:
    labels = list(GROUPS[group])
    axes.set_xticks(range(len(labels)), labels)
    axes.axhline(0, color="0.4", linewidth=0.8)
    for place, label in enumerate(labels):
        found = interval(results.gain(variant_name(group, label), measure.key))
        if found is not None:
            fill = "C0" if variant_name(group, label) == DEFAULT else "white"
            axes.errorbar(place, found.mean, _ends(found), fmt="o", color="C0", mfc=fill, capsize=3)


def _ends(found: MeanInterval) -> list[list[float]]:
    """As matplotlib takes the bars of one point: below and above."""
    return [[found.mean - found.low], [found.high - found.mean]]


def _save(figure: Figure, path: Path) -> None:
    write_atomic(
        path,
        lambda temporary: figure.savefig(
            temporary, format="png", dpi=_DPI, metadata={"Software": None}
        ),
    )
