"""The table of all cases: the result of each metric and its gain over the plain edit."""

from collections.abc import Sequence
from dataclasses import dataclass

from refract.evaluation.variants import PLAIN, RESULT
from refract.report.metric_facts import MetricFacts, in_order, merit
from refract.report.tables import ItemScores


@dataclass(frozen=True)
class Cell:
    """value: for sorting; None where the case has none. kind: better, worse or same."""

    value: float | None
    text: str = "—"
    gain: str = ""
    kind: str = "same"


@dataclass(frozen=True)
class CaseTable:
    columns: list[MetricFacts]
    rows: list[tuple[str, list[Cell]]]


def case_table(cases: Sequence[str], scores: ItemScores) -> CaseTable:
    """A row a case; a column a metric of the result, key figures first."""
    columns = in_order(name for name, variants in scores.values.items() if RESULT in variants)
    rows = [(case, [_cell(case, facts, scores) for facts in columns]) for case in cases]
    return CaseTable(columns, rows)


def _cell(case: str, facts: MetricFacts, scores: ItemScores) -> Cell:
    variants = scores.values[facts.key]
    value, plain = variants[RESULT].get(case), variants.get(PLAIN, {}).get(case)
    if value is None:
        return Cell(None)
    if plain is None:
        return Cell(value, facts.text(value))
    gain = merit(facts, value) - merit(facts, plain)
    kind = "same" if gain == 0 or facts.better == "none" else "better" if gain > 0 else "worse"
    return Cell(value, facts.text(value), facts.signed(value - plain), kind)
