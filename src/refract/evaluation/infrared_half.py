"""The infrared half of the evaluation: details for the metrics, tables and an image sheet."""

import logging
from pathlib import Path

from refract.evaluation.infrared.definitions import definition_of
from refract.evaluation.infrared.evaluation import (
    CLASS_COLUMNS,
    class_rows,
    evaluate_infrared,
    infrared_about,
    infrared_metrics,
    infrared_rows,
)
from refract.evaluation.judge import Judge
from refract.evaluation.measures.metrics_file import Tree, write_table
from refract.evaluation.measures.metrics_summary import flat_numbers
from refract.evaluation.measures.run_facts import infrared_facts
from refract.evaluation.sheets import draw_infrared_sheet

logger = logging.getLogger(__name__)

_ITEM_COLUMNS = ("item", "daytime", "variant", "metric", "value")


def measure_infrared(judge: Judge, triptychs: Path, infrared: Path, plots: Path) -> Tree:
    """The infrared half; without a single true picture only its `about` and a count of 0."""
    about = judge.about() | infrared_facts(triptychs, infrared)
    result = evaluate_infrared(triptychs, infrared, judge.lpips, judge.features)
    tree = infrared_metrics(result, judge.interval, judge.resampling)
    write_table(plots / "infrared_items.csv", _ITEM_COLUMNS, infrared_rows(result))
    write_table(plots / "infrared_classes.csv", CLASS_COLUMNS, class_rows(result, judge.resampling))
    if result.scenes:
        draw_infrared_sheet(result, judge.params.sheet_items, plots / "infrared.png")
        logger.info("infrared: %d scenes, PSNR %.2f dB", len(result.scenes), tree["psnr"])
    else:
        logger.warning("infrared: no test scene has a true infrared picture; no metrics of it")
        about["note"] = "no true infrared pictures; nothing to measure against"
    about |= infrared_about(result)
    about["metrics"] = _definitions(tree)
    return tree | {"about": about}


def _definitions(tree: Tree) -> Tree:
    """What each key means, once, whatever variant or time of day it stands under."""
    definitions: Tree = {}
    for key, _ in flat_numbers(tree):
        if (definition := definition_of(key)) is not None and definition.better is not None:
            name = key.rpartition(".")[2].removesuffix("_low").removesuffix("_high")
            definitions[name] = f"{definition.text} (better: {definition.better})"
    return definitions
