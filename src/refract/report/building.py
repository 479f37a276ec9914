"""The report folder: page and media from what the stages left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refract.base.atomic import replace_directory
from refract.base.errors import InputError
from refract.base.yaml_files import read_yaml
from refract.evaluation.measures.bootstrap import MeanInterval, Resampling, mean_interval
from refract.evaluation.variants import CONTROLS, PLAIN, RESULT, RUN, SOURCE
from refract.report.case_table import case_table
from refract.report.edit_cases import edit_cases
from refract.report.figures import cards
from refract.report.groups import group_means
from refract.report.infrared_scenes import infrared_scenes, own_pictures
from refract.report.media import MediaFolder
from refract.report.metric_rows import metric_files
from refract.report.page import render_page
from refract.report.provenance import digests, stage_facts
from refract.report.script_data import script_data
from refract.report.sweep import curve_charts
from refract.report.tables import (
    CURVE_TABLE,
    EDIT_TABLE,
    FRAME_TABLE,
    INFRARED_TABLE,
    KNOWN_TABLES,
    FrameScores,
    ItemScores,
    read_any,
    read_curve,
    read_frames,
    read_groups,
    read_scores,
)

PAGE = "index.html"
RESAMPLES = 1000  # of the intervals, where the params name no other number
MOST_ROWS = 400  # of a table the page knows nothing about


@dataclass(frozen=True)
class ReportInputs:
    """Folders and files of one run; any may be absent, and its part of the page then says so."""

    plots: Path = Path("out/plots")
    metrics: Path = Path("metrics")
    triptychs: Path = Path("out/triptychs")
    infrared: Path = Path("out/infrared")
    edits: Path = Path("out/edits")
    banks: Path = Path("out/ref_banks")
    params: Path = Path("params.yaml")
    cases: Path = Path("data/cases.yaml")


@dataclass(frozen=True)
class EvaluationTables:
    """What the evaluation's tables hold, and how a mean's interval is made."""

    infrared: ItemScores
    edits: ItemScores
    frames: FrameScores
    resampling: Resampling

    def interval(self, values: Sequence[float]) -> MeanInterval | None:
        return mean_interval(values, self.resampling)


def write_report(output: Path, inputs: ReportInputs) -> None:
    """Write `output`/index.html and `output`/media, which work offline and from any place.

    Equal inputs make equal bytes: no date, host or path outside the inputs' own names goes in.
    Nothing is written unless all of it could be.

    Raises InputError: an unreadable, malformed or mismatching table, picture, clip or JSON file.
    """
    settings = read_yaml(inputs.params) if inputs.params.is_file() else {}
    cases = _described(inputs.cases)
    scores = _scores(inputs, settings)
    with replace_directory(output) as folder:
        media = MediaFolder(folder)
        scenes = infrared_scenes(inputs.triptychs, inputs.infrared, scores.infrared, media)
        shown = edit_cases(inputs.edits, inputs.banks, cases, scores.edits, scores.frames, media)
        context = _context(inputs, scores, scenes, shown, cases)
        context["own_pictures"] = own_pictures(inputs.infrared, media)
        data = script_data(scores.infrared, scores.edits, scores.frames, scenes, shown)
        page = render_page(context, data)
        # `replace`: half a surrogate pair, as JSON may hold, is no character
        (folder / PAGE).write_text(page, encoding="utf-8", errors="replace", newline="\n")


def _described(path: Path) -> dict[str, Mapping[str, Any]]:
    """Case id -> what the cases file says of it. Ids are not checked: here they are only text."""
    cases = read_yaml(path).get("cases", {}) if path.is_file() else {}
    if not isinstance(cases, dict) or not all(isinstance(case, dict) for case in cases.values()):
        raise InputError(f"{path}: cases: must be a mapping of case ids to mappings")
    return cases


def _scores(inputs: ReportInputs, settings: Mapping[str, Any]) -> EvaluationTables:
    """The intervals are made as the evaluation makes them, so that the numbers agree."""
    evaluate = settings.get("evaluate")
    resamples = evaluate.get("bootstrap", RESAMPLES) if isinstance(evaluate, dict) else RESAMPLES
    seed = settings.get("seed", 0)
    for name, value, least in (("evaluate.bootstrap", resamples, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or value < least:
            raise InputError(
                f"{inputs.params}: {name}: must be a whole number from {least}, found {value!r}"
            )
    return EvaluationTables(
        read_scores(inputs.plots / INFRARED_TABLE, "item"),
        read_scores(inputs.plots / EDIT_TABLE, "case"),
        read_frames(inputs.plots / FRAME_TABLE),
        Resampling(resamples, seed),
    )


def _context(
    inputs: ReportInputs,
    scores: EvaluationTables,
    scenes: Mapping[str, Any],
    shown: list[dict[str, Any]],
    cases: Mapping[str, Any],
) -> dict[str, Any]:
    """What the templates are filled with."""
    names = [case["name"] for case in shown]
    return {
        "infrared_cards": cards(
            scores.infrared, RUN, CONTROLS[:1], scores.interval, best_but=CONTROLS
        ),
        "daytimes": group_means(
            scores.infrared, RUN, read_groups(inputs.plots / INFRARED_TABLE), scores.interval
        ),
        "edit_cards": cards(scores.edits, RESULT, [PLAIN, SOURCE], scores.interval),
        "scenes": scenes,
        "cases": shown,
        "case_facts": [(name, cases.get(name, {})) for name in names],
        "case_table": case_table(names, scores.edits),
        "charts": curve_charts(read_curve(inputs.plots / CURVE_TABLE)),
        "metric_files": metric_files(inputs.metrics),
        "other_tables": _other_tables(inputs.plots),
        "params_lines": _commented_lines(inputs.params),
        "stage_facts": stage_facts(
            {"Triptychs": inputs.triptychs, "Infrared": inputs.infrared, "Edits": inputs.edits}
        ),
        "digests": digests(
            {name: path for name in _HASHED if (path := getattr(inputs, name)).exists()}
        ),
        "resamples": scores.resampling.resamples,
    }


_HASHED = ("params", "cases", "triptychs", "infrared", "banks", "edits", "plots", "metrics")


def _other_tables(plots: Path) -> list[dict[str, Any]]:
    """Tables this page has no view of, as they are; long ones are cut and say so."""
    if not plots.is_dir():
        return []
    tables = []
    for path in sorted(plots.glob("*.csv")):
        if path.name not in KNOWN_TABLES:
            header, rows = read_any(path)
            table = {"name": path.name, "header": header, "rows": rows[:MOST_ROWS]}
            tables.append(table | {"total": len(rows)})
    return tables


def _commented_lines(path: Path) -> list[tuple[str, str]]:
    """(setting, comment) of each line, for setting them apart by colour; nothing is left out."""
    if not path.is_file():
        return []
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        place = 0 if line.startswith("#") else line.find(" #")
        pairs.append((line, "") if place < 0 else (line[:place], line[place:]))
    return pairs
