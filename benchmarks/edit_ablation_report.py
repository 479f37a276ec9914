"""Tables of an ablation of the editing, as Markdown."""

from dataclasses import dataclass

import numpy as np

from benchmarks.edit_ablation_results import ByCase, Results, Side, interval
from benchmarks.edit_ablation_variants import DEFAULT, GROUPS, OWN_PLAIN, VARIANTS, variant_name
from benchmarks.table import markdown_table


@dataclass(frozen=True)
class Measure:
    """key: as the evaluation names it. digits: decimal places in a table."""

    key: str
    name: str
    digits: int


OVERLAP = Measure("product.histogram_overlap", "overlap", 3)
DELTA_E = Measure("product.delta_e", "dE", 1)
CROP = Measure("product.clip_micro_i_crop", "CLIP-I of the crop, micro CLIP", 3)
BACKGROUND = Measure("background.psnr", "background, dB", 2)
CENTRE = Measure("centroid_error_px", "centre off, px", 2)
CONSISTENCY = Measure("temporal.relative_consistency", "consistency, x source", 4)
CHANGE = Measure("temporal.relative_change", "change, x source", 3)
SSIM = Measure("background.ssim", "background SSIM", 4)
IOU = Measure("iou_to_target", "IoU to target", 3)

LEVELS = (OVERLAP, DELTA_E, CROP, BACKGROUND, CENTRE)
DIFFERENCES = (OVERLAP, DELTA_E, BACKGROUND, CENTRE)
_OTHERS = (SSIM, CONSISTENCY, CHANGE, IOU)


def report(results: Results) -> str:
    """Head, two tables a group, what is monotone in the strength, and the other measures."""
    parts = [_head(results)]
    for group, labels in GROUPS.items():
        own = {variant_name(group, label) for label in labels} - {DEFAULT}
        if own & results.documents.keys():
            parts += [f"### {group}", _levels(results, group), _differences(results, group)]
            parts += [monotone(results)] if group == "strength" else []
    return "\n\n".join([*parts, "### other measures", _others(results)])


def _head(results: Results) -> str:
    lines = [
        f"{len(results.cases)} cases, seeds {', '.join(map(str, results.seeds))}; "
        f"{'; '.join(results.facts('machine'))}. Means with 95% bootstrap intervals over cases of "
        "the mean over seeds; differences are paired by case and seed, to the plain edit by the "
        "same settings and to the default's edit. Less is better for dE and centre off."
    ]
    made_with = results.facts("made_with")
    if len(made_with) > 1:
        counts = ", ".join(f"{len(runs)} runs with {key}" for key, runs in made_with.items())
        lines.append(f"**The results are of different code, models or measures**: {counts}.")
    if all(np.isnan(results.level(name, CENTRE.key)).all() for name in results.documents):
        lines.append("Made without a reader, so where the product stands was not measured.")
    return "\n\n".join(lines)


def _levels(results: Results, group: str) -> str:
    rows = []
    for label in GROUPS[group]:
        variant = variant_name(group, label)
        rows.append([_label(group, label), *_level_cells(results, variant, "edit")])
        if group in OWN_PLAIN:
            rows.append([f"{label}: plain", *_level_cells(results, variant, "plain")])
    header = [group, "seeds", *(measure.name for measure in LEVELS)]
    return markdown_table(header, [row for row in rows if row[1]])


def _level_cells(results: Results, variant: str, side: Side) -> list[object]:
    cells = [_cell(results.level(variant, m.key, side), m.digits) for m in LEVELS]
    return [len(results.documents.get(variant, {})), *cells]


def _differences(results: Results, group: str) -> str:
    rows = []
    for label in GROUPS[group]:
        variant = variant_name(group, label)
        if variant in results.documents:
            gains = [_cell(results.gain(variant, m.key), m.digits, "+") for m in DIFFERENCES]
            to_default = [
                ""
                if variant == DEFAULT
                else _cell(results.to_default(variant, m.key), m.digits, "+")
                for m in DIFFERENCES
            ]
            rows.append([_label(group, label), *gains, *to_default])
    header = [group]
    header += [f"to plain: {measure.name}" for measure in DIFFERENCES]
    header += [f"to default: {measure.name}" for measure in DIFFERENCES]
    return markdown_table(header, rows)


def monotone(results: Results) -> str:
    """For each measure, whether its mean rises or falls throughout with the strength."""
    labels = [x for x in GROUPS["strength"] if variant_name("strength", x) in results.documents]
    lines = []
    for measure in LEVELS:
        levels = [results.level(variant_name("strength", x), measure.key) for x in labels]
        means = [one.mean for values in levels if (one := interval(values)) is not None]
        if len(means) < 2 or len(means) < len(labels):
            continue
        by_case = np.array(levels).T
        alike = sum(_direction(case.tolist()) == _direction(means) for case in by_case)
        cases = f" (so in {alike} of {len(by_case)} cases)" if _direction(means) else ""
        lines.append(f"- {measure.name}: {_direction(means) or _turns(labels, means)}{cases}")
    span = f"Means over strengths {', '.join(labels)}:"
    return "\n".join([span, *lines])


def _direction(values: list[float]) -> str:
    steps = np.diff(values)
    return "rises" if (steps > 0).all() else "falls" if (steps < 0).all() else ""


def _turns(labels: list[str], means: list[float]) -> str:
    """Where a mean goes against the way from first to last."""
    steps = np.diff(means) * np.sign(means[-1] - means[0])
    spans = [f"{labels[i]} to {labels[i + 1]}" for i in np.flatnonzero(steps <= 0)]
    return f"not monotone, turns from {', '.join(spans)}"


def _others(results: Results) -> str:
    rows = [
        [variant, *(_cell(results.level(variant, m.key), m.digits) for m in _OTHERS)]
        for variant in VARIANTS
        if variant in results.documents
    ]
    return markdown_table(["variant", *(measure.name for measure in _OTHERS)], rows)


def _label(group: str, label: str) -> str:
    return label if GROUPS[group][label] else f"{label} (default)"


def _cell(values: ByCase, digits: int, sign: str = "") -> str:
    found = interval(values)
    if found is None:
        return ""
    form = f"{sign}.{digits}f"
    return f"{found.mean:{form}} [{found.low:{form}}, {found.high:{form}}]"
