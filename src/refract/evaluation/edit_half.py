"""The editing half of the evaluation: details for the metrics, tables and an image sheet."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from refract.editing.deliver.outputs import FINAL_CLIP
from refract.evaluation.edits.case_files import CaseFiles, curve_strengths, find_case_files
from refract.evaluation.edits.definitions import EDIT_METRICS
from refract.evaluation.edits.delivered import delivered_scores
from refract.evaluation.edits.evaluation import (
    EditEvaluation,
    curve_rows,
    curve_table,
    edit_metrics,
    edit_rows,
)
from refract.evaluation.edits.parts import JOINED, join, read_parts
from refract.evaluation.edits.product_regions import count_regions, product_region
from refract.evaluation.edits.score_store import PartMeasures
from refract.evaluation.judge import Judge
from refract.evaluation.measures.metrics_file import Tree, write_table
from refract.evaluation.measures.product import ERODE_PX, ClipScores, Measured
from refract.evaluation.measures.run_facts import bank_facts, count_fallbacks, edit_facts
from refract.evaluation.measuring import measure_side_by_side
from refract.evaluation.sheets import draw_edit_sheet, edit_row
from refract.evaluation.variants import PLAIN, RESULT
from refract.evaluation.votes.folder import measure_votes
from refract.media.image_sheets import spread
from refract.params.cases import Case
from refract.pipeline.item_store import ItemStore, state_root

logger = logging.getLogger(__name__)

CASE_COLUMNS = ("case", "variant", "metric", "value")
FRAME_COLUMNS = ("case", "variant", "metric", "frame", "value")
CURVE_COLUMNS = ("metric", "strength", "mean", "low", "high", "count")

Measures = Mapping[str, Mapping[str, Measured]]  # case -> variant -> its measures


def measure_edits(
    judge: Judge,
    cases: Mapping[str, Case],
    networks: Mapping[str, Path | None],
    banks: Path,
    edits: Path,
    plots: Path,
) -> Tree:
    """The editing half; of a case no more is read than what was never measured.

    networks: case -> the file of the salient-object network that tells its product, if one does.
    """
    facts = edit_facts(edits) | bank_facts(banks, cases)
    store, dilate_px = ItemStore(state_root(), "evaluate"), judge.params.dilate_px
    parts = read_parts(edits, cases)
    files = {
        name: find_case_files(name, case, parts[name], edits, dilate_px, banks, networks[name])
        for name, case in cases.items()
    }
    measured = _measured(files, judge, store)
    scores = {
        name: {variant: of_clip.scores for variant, of_clip in of_case.items()}
        for name, of_case in measured.items()
    }
    for name, delivered in _delivered(cases, edits, store).items():
        scores[name][RESULT] = scores[name][RESULT] | delivered
    result = EditEvaluation(scores, curve_strengths(edits))
    write_edit_tables(judge, result, measured, plots)
    names = list(cases)
    shown = [names[place] for place in spread(len(names), judge.params.sheet_items)]
    rows = [edit_row(files[name], _label(name, scores[name]), store) for name in shown]
    if rows:
        draw_edit_sheet(rows, plots / "edit.png")
    regions = {
        name: product_region(of_case, scores[name][RESULT]) for name, of_case in files.items()
    }
    tree = edit_metrics(result, judge.interval)
    if fallbacks := count_fallbacks(edits):
        tree["fallbacks"] = fallbacks
    if judge.params.votes is not None and (votes := measure_votes(Path(judge.params.votes))):
        tree["preference"] = votes
    about = _about(judge, result) | {"product_regions": count_regions(regions)}
    return tree | {"about": about | facts}


def _measured(files: Mapping[str, CaseFiles], judge: Judge, store: ItemStore) -> Measures:
    of_parts = {
        name: [PartMeasures(of_case, part, judge, store) for part in of_case.parts]
        for name, of_case in files.items()
    }
    missing = [one for parts in of_parts.values() for one in parts if one.missing]
    logger.info("edit metrics: %d clips to measure", sum(len(one.missing) for one in missing))
    measure_side_by_side(lambda place: missing[place].all(), len(missing), store, "edit metrics")
    return {name: _joined(parts) for name, parts in of_parts.items()}


def _delivered(
    cases: Mapping[str, Case], edits: Path, store: ItemStore
) -> Mapping[str, ClipScores]:
    """The measures of each case's deliverable; none where there is no deliverable."""

    def measure(name: str) -> ClipScores:
        case = cases[name]
        return delivered_scores(edits / name, Path(case.video), case.fps, store)

    made = [name for name in cases if (edits / name / FINAL_CLIP).is_file()]
    measure_side_by_side(lambda place: measure(made[place]), len(made), store, "deliverables")
    return {name: measure(name) for name in made}


def _joined(parts: Sequence[PartMeasures]) -> dict[str, Measured]:
    measured = [one.all() for one in parts]
    return {
        variant: join([one.part for one in parts], [of_part[variant] for of_part in measured])
        for variant in measured[0]
    }


def write_edit_tables(
    judge: Judge, result: EditEvaluation, measured: Measures, plots: Path
) -> None:
    """Every value of every case and frame, and the mean curve over the reference strength."""
    write_table(plots / "edit_cases.csv", CASE_COLUMNS, edit_rows(result))
    frames = (
        (case, variant, metric, frame, value)
        for case, variants in measured.items()
        for variant, of_clip in variants.items()
        for metric in sorted(of_clip.series)
        for frame, value in enumerate(of_clip.series[metric])
    )
    write_table(plots / "edit_frames.csv", FRAME_COLUMNS, frames)
    write_table(plots / "strength_curve.csv", CURVE_COLUMNS, curve_rows(result, judge.interval))
    write_table(plots / "strength_means.csv", *curve_table(result, judge.interval))


def _about(judge: Judge, result: EditEvaluation) -> Tree:
    return judge.about_edits() | {
        "product_region": f"target_mask, else source_mask; {ERODE_PX} px inside its outline",
        "background": f"further than {judge.params.dilate_px} px from every mask",
        "long_clips": JOINED,
        "fewer_cases": result.partial_counts(),
        "metrics": {
            metric: f"{EDIT_METRICS[metric].text} (better: {EDIT_METRICS[metric].better or '-'})"
            for metric in result.metrics(RESULT)
        },
    }


def _label(name: str, scores: Mapping[str, ClipScores]) -> str:
    metric = "product.histogram_overlap"
    if metric not in scores[RESULT]:
        return name
    return f"{name}  overlap {scores[PLAIN][metric]:.2f} -> {scores[RESULT][metric]:.2f}"
