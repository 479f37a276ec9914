"""Items and means of several variants of one metric, as places in a small drawing."""

from collections.abc import Mapping
from dataclasses import dataclass

from refract.evaluation.measures.bootstrap import Interval
from refract.evaluation.variants import PLAIN, SOURCE
from refract.report.chart_scale import Scale, spanning
from refract.report.metric_facts import MetricFacts
from refract.report.variants import variant_colour, variant_label

WIDTH, LABEL_WIDTH, ROW_HEIGHT, AXIS_HEIGHT = 320, 116, 19, 20  # drawing units
DOTS_HEIGHT = 11
_GOLDEN = 0.618034  # its multiples spread dots evenly over a row's height


@dataclass(frozen=True)
class StripRow:
    """One variant of a strip plot, in drawing units; `dots` are (x, y, title)."""

    label: str
    colour: str
    middle: float
    dots: list[tuple[float, float, str]]
    mean: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class StripPlot:
    """Rows from above and (place, text) of the axis below them."""

    rows: list[StripRow]
    ticks: list[tuple[float, str]]
    height: float


def strip_plot(
    facts: MetricFacts, variants: Mapping[str, Mapping[str, float]], result: str, interval: Interval
) -> StripPlot:
    """A row a variant: the result first, then the plain edit and the source, then the others."""
    values = [value for items in variants.values() for value in items.values()]
    scale = spanning(values, LABEL_WIDTH + 6, WIDTH - 6)
    first = [name for name in (result, PLAIN, SOURCE) if name in variants]
    ordered = [*first, *(name for name in variants if name not in first)]
    rows = [
        _row(name, variants[name], (place + 0.5) * ROW_HEIGHT, scale, facts, interval)
        for place, name in enumerate(ordered)
    ]
    return StripPlot(rows, scale.ticks(4), len(rows) * ROW_HEIGHT + AXIS_HEIGHT)


def _row(
    name: str,
    items: Mapping[str, float],
    middle: float,
    scale: Scale,
    facts: MetricFacts,
    interval: Interval,
) -> StripRow:
    mean = interval(list(items.values()))
    assert mean is not None  # a variant in the table has a finite value
    dots = []
    for place, (item, value) in enumerate(items.items()):
        y = middle + ((place * _GOLDEN) % 1 - 0.5) * DOTS_HEIGHT
        dots.append((scale(value), round(y, 2), f"{item}: {facts.text(value)}"))
    return StripRow(
        variant_label(name),
        variant_colour(name),
        middle,
        dots,
        scale(mean.mean),
        scale(mean.low),
        scale(mean.high),
        f"{facts.text(mean.mean)} {facts.ends(mean)}",
    )
