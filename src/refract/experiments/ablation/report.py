"""Everything a sweep leaves behind in its folder."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from refract.base.atomic import replace_directory
from refract.evaluation.measures.bootstrap import Resampling
from refract.evaluation.measures.metrics_file import significant
from refract.experiments.ablation import tables
from refract.experiments.ablation.collect import summarise
from refract.experiments.ablation.grids import Grid
from refract.experiments.ablation.manifest import Sweep, write_sweep
from refract.experiments.ablation.plots import draw_plots
from refract.experiments.ablation.points import Point
from refract.experiments.ablation.tables import choose_metrics
from refract.experiments.compare.item_tables import HALVES, HalfName, wide
from refract.experiments.compare.paired import Difference, paired_differences
from refract.experiments.compare.printing import beyond_noise_line

Paired = dict[str, list[Difference]]  # point -> its differences to what the table is against


def write_sweep_report(
    sweep: Sweep, grid: Grid, items: pd.DataFrame, how: Resampling, folder: Path
) -> None:
    """Fill `folder`, which takes the place of what stood there.

    `report.md`, `table.tex`, `summary.csv` (every metric), `paired.csv` (every point against the
    present settings, and against the baselines by the same settings), `items.csv` (every value),
    `plots.png`, `plots.svg`, `points.json`.
    """
    done = list(dict.fromkeys(point.label for point in sweep.points if not point.error))
    summary = summarise(items, done, grid.half, how)
    metrics = choose_metrics(summary["metric"], grid.half, grid.metrics)
    baselines = [row for row in summary["row"].unique() if row not in sweep.labels]
    cells = tables.formatted(summary, metrics, [*sweep.labels, *baselines])
    base = base_point(sweep)
    paired = {base.label: against_point(items, base.label, done, grid.half, how)}
    for baseline in HALVES[grid.half].baselines:
        paired[baseline] = against_baseline(items, baseline, done, grid.half, how)
    with replace_directory(folder) as place:
        write_sweep(sweep, place)
        texts = {
            "report.md": _document(sweep, grid, cells, paired, base),
            "table.tex": tables.as_latex(cells, grid.axis.name, _caption(grid), sweep.grid),
            "summary.csv": tables.summary_as_csv(summary),
            "paired.csv": _paired_csv(paired),
            "items.csv": items.to_csv(index=False, lineterminator="\n"),
        }
        for name, text in texts.items():
            (place / name).write_text(text, encoding="utf-8")
        files = [place / f"plots.{kind}" for kind in ("png", "svg")]
        draw_plots(summary, metrics, sweep.labels, grid.axis, grid.title, files)


def base_point(sweep: Sweep) -> Point:
    """The point the others are held against: the present settings, else the first with a result."""
    done = [point for point in sweep.points if not point.error]
    return next((point for point in done if point.as_present), done[0])


def against_point(
    items: pd.DataFrame, base: str, labels: Sequence[str], half: HalfName, how: Resampling
) -> Paired:
    """Every other point less the base, over common items."""
    values = {label: wide(items[items["point"] == label], HALVES[half].result) for label in labels}
    return {
        label: paired_differences(values[base], table, how)
        for label, table in values.items()
        if label != base
    }


def against_baseline(
    items: pd.DataFrame, baseline: str, labels: Sequence[str], half: HalfName, how: Resampling
) -> Paired:
    """Every point less the baseline by the same settings; points without it are left out."""
    by_label = {}
    for label in labels:
        rows = items[items["point"] == label]
        differences = paired_differences(wide(rows, baseline), wide(rows, HALVES[half].result), how)
        if differences:
            by_label[label] = differences
    return by_label


def _paired_csv(paired: dict[str, Paired]) -> str:
    columns = ["point", "base", "metric", "difference", "low", "high", "count", "verdict", "p"]
    rows = [
        (
            label, base, d.metric, significant(d.difference.mean), significant(d.difference.low),
            significant(d.difference.high), d.difference.count, d.verdict, significant(d.p),
        )
        for base, points in paired.items()
        for label, differences in points.items()
        for d in differences
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")


def _resampled(grid: Grid) -> str:
    """What means are over and intervals are drawn from."""
    if not grid.seeds:
        return "items"
    return f"items and seeds {', '.join(map(str, grid.seeds))}"


def _caption(grid: Grid) -> str:
    return f"{grid.title}. Mean over n {_resampled(grid)} with its 95% bootstrap interval."


def _document(
    sweep: Sweep, grid: Grid, cells: pd.DataFrame, paired: dict[str, Paired], base: Point
) -> str:
    metrics = [name for name in cells.columns if name != "n"]
    blocks = [f"# {grid.title}", grid.about, f"At {sweep.origin}."]
    if grid.common:
        settings = ", ".join(f"`{key}` {value}" for key, value in grid.common.items())
        blocks.append(f"Every point with {settings}.")
    blocks.append(tables.cells_as_markdown(cells, grid.axis.name))
    over = _resampled(grid)
    blocks.append(
        f"Mean over n {over} [95% percentile-bootstrap interval over {over}]. Arrows: which way is "
        "better; →1: the nearer to 1. Baselines below the points; `plain of x` and the like: that "
        "baseline depends on the settings of point x."
    )
    if sweep.failed:
        blocks.append("Failed, hence left out:")
        blocks.append("\n".join(f"- {point}: {point.error}" for point in sweep.failed))
    blocks.append("![Plots](plots.png)")
    standing = "the present settings" if base.as_present else "the first point"
    for name, points in paired.items():
        what = standing if name == base.label else "a baseline, by each point's own settings"
        if points:
            blocks += _paired_section(f"## Against `{name}` ({what})", metrics, points)
    return "\n\n".join(blocks) + "\n"


def _paired_section(title: str, metrics: Sequence[str], paired: Paired) -> list[str]:
    """Differences; their intervals are narrower than those of the means, since items pair up."""
    rows = []
    for label, differences in paired.items():
        by_metric = {d.metric: d for d in differences}
        rows.append([label, *(_paired_cell(by_metric.get(metric)) for metric in metrics)])
    table = pd.DataFrame(rows, columns=["point", *metrics])
    shown = [d for differences in paired.values() for d in differences if d.metric in metrics]
    return [
        title,
        "Paired differences over common items. **Bold**: beyond noise.",
        str(table.to_markdown(index=False, disable_numparse=True)),
        beyond_noise_line(shown),
    ]


def _paired_cell(paired: Difference | None) -> str:
    if paired is None:
        return "–"
    difference = paired.difference
    text = f"{difference.mean:+.3g} [{difference.low:+.3g}, {difference.high:+.3g}]"
    return f"**{text}** {paired.verdict}" if paired.beyond_noise else text
