"""The evaluate stage's work: both halves measured, written as metrics, tables and image sheets."""

import logging
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from refract.atomic import replace_directory
from refract.edit_clips import curve_strengths, load_edit_case
from refract.edit_evaluation import (
    PLAIN,
    RESULT,
    EditEvaluation,
    curve_rows,
    edit_metrics,
    edit_rows,
)
from refract.edit_scores import CaseScorer, ClipScores
from refract.evaluation_sheets import draw_edit_sheet, draw_infrared_sheet, edit_row, spread
from refract.infrared_evaluation import evaluate_infrared, infrared_metrics, infrared_rows
from refract.judge import Judge
from refract.metrics_file import Tree, write_metrics
from refract.params.cases import Case
from refract.plot_tables import write_table
from refract.product_metrics import ERODE_PX
from refract.run_facts import bank_facts, edit_facts, infrared_facts

logger = logging.getLogger(__name__)


def evaluate(
    judge: Judge,
    cases: Mapping[str, Case],
    *,
    triptychs: Path,
    infrared: Path,
    banks: Path,
    edits: Path,
    metrics: Path,
    plots: Path,
) -> None:
    """Write `infrared.json` and `edit.json` into `metrics` and everything else into `plots`.

    Nothing is written unless both halves could be measured.

    Raises:
        InputError: a missing, unreadable or mismatching picture, clip, mask or manifest.
    """
    with replace_directory(plots) as folder:
        infrared_tree = measure_infrared(judge, triptychs, infrared, folder)
        edit_tree = measure_edits(judge, cases, banks, edits, folder)
    metrics.mkdir(parents=True, exist_ok=True)
    write_metrics(infrared_tree, metrics / "infrared.json")
    write_metrics(edit_tree, metrics / "edit.json")


def measure_infrared(judge: Judge, triptychs: Path, infrared: Path, plots: Path) -> Tree:
    """The infrared half; without a single true picture only its `about` and a count of 0."""
    about = judge.about() | infrared_facts(triptychs, infrared)
    result = evaluate_infrared(triptychs, infrared, judge.perceptual)
    tree = infrared_metrics(result, judge.interval)
    columns = ("item", "daytime", "variant", "metric", "value")
    write_table(plots / "infrared_items.csv", columns, infrared_rows(result))
    if result.scenes:
        draw_infrared_sheet(result, judge.params.sheet_items, plots / "infrared.png")
        logger.info("infrared: %d scenes, PSNR %.2f dB", len(result.scenes), tree["psnr"])
    else:
        logger.warning("infrared: no test scene has a true infrared picture; no metrics of it")
        about["note"] = "no true infrared pictures; nothing to measure against"
    return tree | {"about": about}


def measure_edits(
    judge: Judge, cases: Mapping[str, Case], banks: Path, edits: Path, plots: Path
) -> Tree:
    """The editing half, one case in memory at a time."""
    facts = edit_facts(edits) | bank_facts(banks, cases)
    strengths = curve_strengths(edits)
    scores: dict[str, dict[str, ClipScores]] = {}
    names, rows = list(cases), []
    shown = {names[place] for place in spread(len(names), judge.params.sheet_items)}
    for name in tqdm(names, desc="edit metrics", unit="case"):
        case = load_edit_case(name, cases[name], edits, judge.params.dilate_px, banks)
        scorer = CaseScorer(case, judge.clip, judge.perceptual)
        scores[name] = {variant: scorer.scores(variant) for variant in case.clips}
        if name in shown:
            rows.append(edit_row(case, _label(name, scores[name])))
    result = EditEvaluation(scores, strengths)
    write_edit_tables(judge, result, plots)
    if rows:
        draw_edit_sheet(rows, plots / "edit.png")
    about = judge.about() | {
        "product_region": f"target_mask, else source_mask; {ERODE_PX} px inside its outline",
        "background": f"further than {judge.params.dilate_px} px from every mask",
    }
    return edit_metrics(result, judge.interval) | {"about": about | facts}


def write_edit_tables(judge: Judge, result: EditEvaluation, plots: Path) -> None:
    """Every value of every case, and the mean curve over the reference strength."""
    columns = ["case", "variant", "metric", "value"]
    write_table(plots / "edit_cases.csv", columns, edit_rows(result))
    columns = ["metric", "strength", "mean", "low", "high", "count"]
    write_table(plots / "strength_curve.csv", columns, curve_rows(result, judge.interval))


def _label(name: str, scores: Mapping[str, ClipScores]) -> str:
    metric = "product.histogram_overlap"
    if metric not in scores[RESULT]:
        return name
    return f"{name}  overlap {scores[PLAIN][metric]:.2f} -> {scores[RESULT][metric]:.2f}"
