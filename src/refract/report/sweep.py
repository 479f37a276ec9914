"""Charts of the edits' means over the reference strength, with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refract.report.chart_scale import Scale, spanning
from refract.report.metric_facts import MetricFacts, in_order, merit
from refract.report.tables import CurvePoint

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 28  # margins for the axes


@dataclass(frozen=True)
class CurveChart:
    """One metric, in drawing units; `dots` are (x, y, title)."""

    facts: MetricFacts
    line: str
    band: str
    dots: list[tuple[float, float, str]]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    count: int
    best: str


def curve_charts(curves: Mapping[str, Sequence[CurvePoint]]) -> list[CurveChart]:
    """A chart for every metric that has at least two points, key figures first."""
    return [
        _chart(facts, sorted(curves[facts.key], key=lambda point: point.strength))
        for facts in in_order(curves)
        if len({point.strength for point in curves[facts.key]}) > 1
    ]


def _chart(facts: MetricFacts, points: Sequence[CurvePoint]) -> CurveChart:
    x = spanning((point.strength for point in points), LEFT, WIDTH - RIGHT)
    ends = [value for point in points for value in (point.mean, point.low, point.high)]
    y = spanning(ends, HEIGHT - BOTTOM, TOP, margin=0.08)
    there = [f"{x(point.strength)},{y(point.high)}" for point in points]
    back = [f"{x(point.strength)},{y(point.low)}" for point in reversed(points)]
    return CurveChart(
        facts,
        " ".join(f"{x(point.strength)},{y(point.mean)}" for point in points),
        " ".join(there + back),
        [(x(point.strength), y(point.mean), _title(facts, point)) for point in points],
        _strength_ticks(x, points),
        y.ticks(4),
        points[0].count,
        _best(facts, points),
    )


def _title(facts: MetricFacts, point: CurvePoint) -> str:
    low, high = facts.text(point.low), facts.text(point.high)
    return f"strength {point.strength:g}: {facts.text(point.mean)} [{low}, {high}]"


def _strength_ticks(x: Scale, points: Sequence[CurvePoint]) -> list[tuple[float, str]]:
    """The rendered strengths themselves; every other one where they stand too close."""
    ticks: list[tuple[float, str]] = []
    for point in points:
        place = x(point.strength)
        if not ticks or place - ticks[-1][0] >= 24:
            ticks.append((place, f"{point.strength:g}"))
    return ticks


def _best(facts: MetricFacts, points: Sequence[CurvePoint]) -> str:
    """The strength with the best mean, in words; empty where no direction is better."""
    if facts.better == "none":
        return ""
    best = max(points, key=lambda point: merit(facts, point.mean))
    return f"best at {best.strength:g}: {facts.text(best.mean)}"
