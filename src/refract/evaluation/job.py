"""The evaluate stage's work: both halves measured, written as metrics, tables and image sheets."""

from collections.abc import Mapping
from pathlib import Path

from refract.base.atomic import replace_directory
from refract.evaluation.edit_half import measure_edits
from refract.evaluation.infrared_half import measure_infrared
from refract.evaluation.judge import Judge
from refract.evaluation.measures.metrics_file import write_metrics
from refract.evaluation.measures.metrics_summary import EDIT_ROWS, INFRARED_ROWS, select_rows
from refract.params.cases import Case


def evaluate(
    judge: Judge,
    cases: Mapping[str, Case],
    *,
    networks: Mapping[str, Path | None],
    triptychs: Path,
    infrared: Path,
    banks: Path,
    edits: Path,
    metrics: Path,
    plots: Path,
) -> None:
    """Write `infrared.json` and `edit.json` into `metrics` and everything else into `plots`.

    In `metrics` lie the few rows that are read every day, in `metrics/details` every mean with its
    interval and what it was measured with. Nothing is written unless both halves could be measured.

    networks: case -> the file of the salient-object network that tells its product, if one does.
    Raises InputError: a missing, unreadable or mismatching picture, clip, mask or manifest.
    """
    with replace_directory(plots) as folder:
        infrared_tree = measure_infrared(judge, triptychs, infrared, folder)
        edit_tree = measure_edits(judge, cases, networks, banks, edits, folder)
    for name, details, rows in (
        ("infrared", infrared_tree, INFRARED_ROWS),
        ("edit", edit_tree, EDIT_ROWS),
    ):
        write_metrics(details, metrics / "details" / f"{name}.json")
        write_metrics(select_rows(details, rows), metrics / f"{name}.json")
