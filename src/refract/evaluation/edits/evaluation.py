"""Scores of all cases brought together: means with intervals, curve over the reference strength."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from refract.evaluation.measures.bootstrap import Interval
from refract.evaluation.measures.metrics_file import Tree, put, put_interval
from refract.evaluation.measures.product import ClipScores
from refract.evaluation.variants import PLAIN, RESULT, SOURCE, strength_key

# The group's measures need masks; this one says whether a case had them.
REGION_METRICS = {"product": "product.histogram_overlap", "background": "background.psnr"}

CaseScores = Mapping[str, ClipScores]  # variant -> scores


@dataclass(frozen=True)
class EditEvaluation:
    """Scores by case and variant, and the strengths of the curve."""

    cases: Mapping[str, CaseScores]
    strengths: Sequence[float]

    def values(self, variant: str, metric: str) -> list[float]:
        """One value a case that has it, nan elsewhere."""
        return [scores.get(variant, {}).get(metric, float("nan")) for scores in self.cases.values()]

    def metrics(self, variant: str) -> list[str]:
        """The metrics any case has for a variant, in a fixed order."""
        metrics: dict[str, None] = {}
        for scores in self.cases.values():
            metrics |= dict.fromkeys(scores.get(variant, {}))
        return sorted(metrics)

    def baselines(self) -> list[str]:
        """Other samplers and cheats: variants beside the edit, the plain one and the curve's."""
        known = {RESULT, PLAIN, SOURCE, *(strength_key(strength) for strength in self.strengths)}
        return sorted({name for scores in self.cases.values() for name in scores} - known)

    def curve(self) -> list[tuple[float, str]]:
        """(strength, variant) in rising order; plain FlowAlign stands at strength 0."""
        points = {strength: strength_key(strength) for strength in self.strengths}
        return sorted(({0.0: PLAIN} | {s: v for s, v in points.items() if s > 0}).items())

    def partial_counts(self) -> dict[str, int]:
        """How many cases the curve and each baseline have, where those are not all."""
        of_variants = {
            name: sum(name in scores for scores in self.cases.values()) for name in self.baselines()
        }
        counts = {"curve": len(self.with_curve().cases)} | of_variants
        return {name: count for name, count in counts.items() if count < len(self.cases)}

    def with_curve(self) -> "EditEvaluation":
        """Only the cases that have every point: means over different cases make no curve."""
        wanted = {variant for _, variant in self.curve()}
        kept = {name: scores for name, scores in self.cases.items() if wanted <= scores.keys()}
        return EditEvaluation(kept, self.strengths)


def edit_metrics(result: EditEvaluation, interval: Interval) -> Tree:
    """The metrics tree: the edit, `plain.`, `source.`, each `baseline.`, `gain.` and `curve.`.

    `gain.` is edit minus plain over the cases; `product.count` and `background.count` say how
    many cases had the masks and photo that group's means are over. The curve holds means alone;
    its intervals are in the plot file.
    """
    tree: Tree = {"count": len(result.cases)}
    for group, metric in REGION_METRICS.items():
        put(tree, f"{group}.count", int(np.isfinite(result.values(RESULT, metric)).sum()))
    for variant, above in ((RESULT, ""), (PLAIN, "plain."), (SOURCE, "source.")):
        for metric in result.metrics(variant):
            if variant != SOURCE or metric.startswith("product."):  # the rest is 1 by definition
                put_interval(tree, above + metric, interval(result.values(variant, metric)))
    for variant in result.baselines():
        for metric in result.metrics(variant):
            key = f"baseline.{variant}.{metric}"
            put_interval(tree, key, interval(result.values(variant, metric)))
    for metric in result.metrics(RESULT):
        gains = np.subtract(result.values(RESULT, metric), result.values(PLAIN, metric)).tolist()
        put_interval(tree, f"gain.{metric}", interval(gains))
    curved = result.with_curve()
    for strength, variant in curved.curve():
        for metric in curved.metrics(variant):
            mean = interval(curved.values(variant, metric))
            if mean is not None:
                put(tree, f"curve.{strength_key(strength)}.{metric}", mean.mean)
    return tree


def edit_rows(result: EditEvaluation) -> Iterable[tuple[object, ...]]:
    """Long-format rows: case, variant, metric, value."""
    for case, variants in result.cases.items():
        for variant, scores in variants.items():
            for metric in sorted(scores):
                yield case, variant, metric, scores[metric]


def curve_rows(result: EditEvaluation, interval: Interval) -> Iterable[tuple[object, ...]]:
    """Long-format rows: metric, strength, mean, low, high, count."""
    curved = result.with_curve()
    for metric in curved.metrics(PLAIN):  # what is measured of every point
        for strength, variant in curved.curve():
            mean = interval(curved.values(variant, metric))
            if mean is not None:
                yield metric, strength, mean.mean, mean.low, mean.high, mean.count


def curve_table(
    result: EditEvaluation, interval: Interval
) -> tuple[list[str], list[tuple[float | None, ...]]]:
    """The curve's means as one column a metric, for plots: header, and one row a strength.

    Vega takes a dot in a field's name for a level, so `product.delta_e` is `product_delta_e`.
    """
    curved = result.with_curve()
    metrics = curved.metrics(PLAIN)
    rows: list[tuple[float | None, ...]] = []
    for strength, variant in curved.curve():
        means = [interval(curved.values(variant, metric)) for metric in metrics]
        rows.append((strength, *(None if mean is None else mean.mean for mean in means)))
    return ["strength", *(metric.replace(".", "_") for metric in metrics)], rows
