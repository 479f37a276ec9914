"""Means of groups of items, such as the scenes by day and by night."""

from collections.abc import Mapping, Sequence

from refract.evaluation.measures.bootstrap import Interval
from refract.report.metric_facts import MetricFacts, metric_facts
from refract.report.tables import ItemScores

GroupRow = tuple[str, int, list[tuple[str, str]]]  # name, items, (mean, interval) a metric


def group_means(
    scores: ItemScores, variant: str, groups: Mapping[str, str], interval: Interval
) -> list[GroupRow]:
    """A row a group of items, sorted by name, of the key figures; none for a single group.

    groups: item -> name of its group.
    """
    names = sorted({*groups.values()})
    if len(names) < 2:
        return []
    tables = [
        (facts, scores.values[facts.key][variant])
        for facts in map(metric_facts, scores.values)
        if facts.is_key and variant in scores.values[facts.key]
    ]
    rows = []
    for name in names:
        members = [item for item, group in groups.items() if group == name]
        cells = [
            _mean_cell(facts, [values[item] for item in members if item in values], interval)
            for facts, values in tables
        ]
        rows.append((name, len(members), cells))
    return rows


def _mean_cell(facts: MetricFacts, values: Sequence[float], interval: Interval) -> tuple[str, str]:
    mean = interval(values)
    if mean is None:
        return "—", ""
    return facts.text(mean.mean), facts.ends(mean)
