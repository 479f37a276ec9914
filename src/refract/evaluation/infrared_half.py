"""The infrared half of the evaluation: details for the metrics, tables and an image sheet.

It is one item of the store: where none of its pictures and settings changed, nothing of it is
decoded, imported or computed.
"""

import json
import logging
from pathlib import Path
from typing import Any

from refract.evaluation.infrared.definitions import definition_of
from refract.evaluation.infrared.picture_files import digests
from refract.evaluation.judge import Judge
from refract.evaluation.measures.metrics_file import Tree, write_table
from refract.evaluation.measures.metrics_summary import flat_numbers
from refract.evaluation.measures.run_facts import infrared_facts
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, materialise, state_root

logger = logging.getLogger(__name__)

_ITEM_COLUMNS = ("item", "daytime", "variant", "metric", "value")
_TREE, _PLOTS = "metrics.json", "plots"


def measure_infrared(judge: Judge, triptychs: Path, infrared: Path, plots: Path) -> Tree:
    """The infrared half; without a single true picture only its `about` and a count of 0."""
    about = judge.about() | infrared_facts(triptychs, infrared)
    store = ItemStore(state_root(), "evaluate")
    key = store.key(
        params={
            "judged_by": [judge.of_pictures, judge.of_sets],
            "resampling": [judge.params.bootstrap, judge.seed],
            "sheet_items": judge.params.sheet_items,
        },
        inputs=digests(triptychs, infrared),
        code=closure("refract.evaluation.infrared_half"),
    )
    slot = store.get_or_make(
        key, lambda folder: _write_half(folder, judge, triptychs, infrared, store)
    )
    materialise(slot / _PLOTS, plots)
    tree: dict[str, Any] = json.loads((slot / _TREE).read_text(encoding="utf-8"))
    if tree["count"]:
        logger.info("infrared: %d scenes, PSNR %.2f dB", tree["count"], tree["psnr"])
    else:
        logger.warning("infrared: no test scene has a true infrared picture; no metrics of it")
    return tree | {"about": about | tree["about"] | {"metrics": _definitions(tree)}}


def _write_half(
    folder: Path, judge: Judge, triptychs: Path, infrared: Path, store: ItemStore
) -> None:
    """The tree of the metrics, and the tables and the sheet in a folder of their own."""
    from refract.evaluation.infrared.evaluation import (
        CLASS_COLUMNS,
        class_rows,
        evaluate_infrared,
        infrared_about,
        infrared_metrics,
        infrared_rows,
    )
    from refract.evaluation.sheets import draw_infrared_sheet

    result = evaluate_infrared(triptychs, infrared, judge, store)
    tree, plots = infrared_metrics(result, judge.interval, judge.resampling), folder / _PLOTS
    write_table(plots / "infrared_items.csv", _ITEM_COLUMNS, infrared_rows(result))
    write_table(plots / "infrared_classes.csv", CLASS_COLUMNS, class_rows(result, judge.resampling))
    about = infrared_about(result)
    if result.scenes:
        draw_infrared_sheet(result, judge.params.sheet_items, plots / "infrared.png")
    else:
        about = {"note": "no true infrared pictures; nothing to measure against"}
    (folder / _TREE).write_text(json.dumps(tree | {"about": about}), encoding="utf-8")


def _definitions(tree: Tree) -> Tree:
    """What each key means, once, whatever variant or time of day it stands under."""
    definitions: Tree = {}
    for key, _ in flat_numbers(tree):
        if (definition := definition_of(key)) is not None and definition.better is not None:
            name = key.rpartition(".")[2].removesuffix("_low").removesuffix("_high")
            definitions[name] = f"{definition.text} (better: {definition.better})"
    return definitions
