"""What the page's scripts read: scenes, cases, and how their metrics and variants are called."""

from collections.abc import Mapping, Sequence
from typing import Any

from refract.report.metric_facts import in_order
from refract.report.tables import FrameScores, ItemScores
from refract.report.variants import variant_colour, variant_label


def script_data(
    infrared: ItemScores,
    edits: ItemScores,
    frames: FrameScores,
    scenes: Mapping[str, Any],
    cases: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """One object that JSON can hold; `metrics` is in the order of the page."""
    by_metric: list[Mapping[str, Any]] = [infrared.values, edits.values, *frames.values()]
    metrics: dict[str, None] = {}
    variants: dict[str, None] = {}
    for by_name in by_metric:
        metrics |= dict.fromkeys(by_name)
        variants |= dict.fromkeys(name for values in by_name.values() for name in values)
    for case in cases:
        variants |= dict.fromkeys((*case["clips"], *(b["variant"] for b in case["baselines"])))
    return {
        "scenes": scenes.get("scenes", []),
        "cases": list(cases),
        "metrics": {
            facts.key: {
                "label": facts.label,
                "unit": facts.unit,
                "digits": facts.digits,
                "better": facts.better,
            }
            for facts in in_order(metrics)
        },
        "variants": {
            name: {"label": variant_label(name), "colour": variant_colour(name)}
            for name in variants
        },
    }
