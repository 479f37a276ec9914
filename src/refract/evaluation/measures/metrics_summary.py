"""The few rows of the metrics that are read every day, out of the tree that holds them all.

`dvc metrics diff` and `dvc exp show` print a row or column for each number of a metrics file, so
the files that DVC tracks hold the summary; everything else, with every interval and definition,
is in metrics/details.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from refract.base.files import flatten
from refract.evaluation.measures.metrics_file import Tree, put

# Patterns of dotted keys, in the order of the rows. `clip*` goes by another name where the
# canonical model is not at hand.
INFRARED_ROWS = (
    "count",
    "psnr", "ssim", "lpips",
    "class_l1", "edge_f1",
    "target_precision", "target_recall", "target_f1",
    "fid", "frechet_*",
    "day.psnr", "night.psnr",
    "gain_psnr_best", "baseline.shuffled_map.gain_psnr",
    "baseline.shuffled_map.target_f1",
)  # fmt: skip
EDIT_ROWS = (
    "count",
    "product.fidelity*", "product.histogram_overlap", "product.lpips_crop",
    "product.clip*_i_crop", "product.clip*_t", "product.dino_i_crop",
    "background.psnr", "background.lpips", "background.vmaf",
    "temporal.motion_fidelity_dis",
    "delivered.background_psnr",
    "gain.product.histogram_overlap",
    "gain.product.histogram_overlap_low", "gain.product.histogram_overlap_high",
    "gain.background.psnr",
    "preference.product.rate", "preference.motion.rate",
    "fallbacks.*",
)  # fmt: skip


def select_rows(details: Mapping[str, Any], rows: Sequence[str]) -> Tree:
    """The numbers of `details` whose dotted key fits a pattern of `rows`, in that order.

    A pattern without a match adds nothing: what was not measured has no row. The ends of an
    interval, `*_low` and `*_high`, are taken only where a pattern names them so.
    """
    numbers = dict(flat_numbers(details))
    summary: Tree = {}
    for pattern in rows:
        for key, value in numbers.items():
            if fnmatchcase(key, pattern) and _is_end(key) == _is_end(pattern):
                put(summary, key, value)
    return summary


def _is_end(key: str) -> bool:
    return key.endswith(("_low", "_high"))


def flat_numbers(tree: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(dotted key, number) of every number in the tree; texts are no metrics."""
    for key, value in flatten(tree):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield key, value
