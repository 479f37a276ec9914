from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from refract.evaluation.infrared.class_error import class_errors
from refract.evaluation.infrared.definitions import DEFINITIONS, definition_of
from refract.evaluation.infrared.evaluation import (
    CLASS_COLUMNS,
    InfraredEvaluation,
    best_baseline,
    class_rows,
    infrared_about,
    infrared_metrics,
    infrared_rows,
)
from refract.evaluation.infrared.scenes import TrueScene
from refract.evaluation.infrared.scores import SceneScorer, Scores, score_pictures
from refract.evaluation.infrared.semantic_classes import find_classes
from refract.evaluation.infrared.targets import COUNTS
from refract.evaluation.measures.bootstrap import Resampling, mean_interval
from refract.evaluation.measures.metrics_summary import flat_numbers
from refract.evaluation.measures.set_distance import SetDistances
from refract.evaluation.variants import RUN
from tests.tiny.lpips import published_lpips
from tests.tiny.street_pictures import street_scene

INTERVAL = partial(mean_interval, how=Resampling(100, 0))
RESAMPLING = Resampling(100)
PX = 32  # the smallest panel


def _scenes(count: int = 6) -> list[TrueScene]:
    rng = np.random.default_rng(0)
    blank = np.zeros((PX, PX, 3), np.uint8)
    truths = rng.integers(30, 220, (count, PX, PX), np.uint8)
    daytimes = ["day", "night"] * count
    return [TrueScene(f"s{i}", daytimes[i], blank, truth, blank) for i, truth in enumerate(truths)]


def _off_by(scenes: list[TrueScene], levels: Sequence[int]) -> list[np.ndarray]:
    return [scene.infrared + np.uint8(k) for scene, k in zip(scenes, levels, strict=True)]


def _scores(
    scenes: Sequence[TrueScene],
    pictures: Mapping[str, Sequence[np.ndarray]],
    *,
    with_lpips: bool = True,
) -> dict[str, Scores]:
    lpips = published_lpips() if with_lpips else None
    return score_pictures(scenes, pictures, lambda scene: SceneScorer(scene, lpips))


def _result(scenes: list[TrueScene]) -> InfraredEvaluation:
    pictures = {
        RUN: _off_by(scenes, [1, 10] * (len(scenes) // 2)),
        "grayscale": _off_by(scenes, [20] * len(scenes)),
        "zero_map": _off_by(scenes, [1, 10] * (len(scenes) // 2)),
    }
    scores = _scores(scenes, pictures)
    return InfraredEvaluation(scenes, pictures, scores)


def _complete(side: int = 96) -> InfraredEvaluation:
    """Every measure: aligned pictures with classes, large enough for MS-SSIM."""
    scenes = [street_scene(i, side, daytime) for i, daytime in enumerate(["day", "night"] * 2)]
    pictures = {
        RUN: _off_by(scenes, [3, 5, 7, 9]),
        "shuffled_map": _off_by(scenes, [2, 2, 2, 2]),
        "grayscale": [scene.visible[..., 0] for scene in scenes],
        "mean_infrared": [np.full((side, side), 90, np.uint8) for _ in scenes],
    }
    scores = _scores(scenes, pictures)
    maps = [scene.semantic for scene in scenes]
    truths = [scene.infrared for scene in scenes]
    classes = class_errors(pictures, truths, maps, find_classes(maps))
    distances = SetDistances("frechet_clip_micro", "of 4", dict.fromkeys(pictures, 0.5))
    return InfraredEvaluation(scenes, pictures, scores, classes, distances)


def test_scores_of_a_known_error() -> None:
    scenes = _scenes(2)
    scores = _scores(scenes, {RUN: _off_by(scenes, [0, 10])})[RUN]
    assert scores["psnr"] == pytest.approx([100.0, 20 * np.log10(25.5)])
    assert scores["l1"] == pytest.approx([0, 10 / 255])
    assert scores["ssim"][0] == pytest.approx(1.0)
    lpips, (ours, truth) = published_lpips(), (scenes[1].infrared + 10, scenes[1].infrared)
    threefold = [np.stack([picture] * 3, axis=-1) for picture in (ours, truth)]
    pair = lpips.distances(threefold[:1], lpips.features(threefold[1:]))
    assert scores["lpips"] == pytest.approx([0.0, *pair]) and pair[0] > 0


def test_without_lpips_its_key_is_left_out_and_the_rest_is_the_same() -> None:
    scenes = _scenes(2)
    pictures = {RUN: _off_by(scenes, [0, 10])}
    with_it = _scores(scenes, pictures)[RUN]
    without = _scores(scenes, pictures, with_lpips=False)[RUN]
    assert with_it.keys() - without.keys() == {"lpips"}
    assert all(np.array_equal(without[name], with_it[name], equal_nan=True) for name in without)


def test_tree_holds_means_intervals_groups_and_baselines() -> None:
    scenes = _scenes()
    tree = infrared_metrics(_result(scenes), INTERVAL, RESAMPLING)
    day, night = (20 * np.log10(255 / k) for k in (1, 10))
    assert tree["count"] == 6
    assert tree["psnr"] == pytest.approx((day + night) / 2, rel=1e-4)
    assert tree["psnr_low"] <= tree["psnr"] <= tree["psnr_high"]
    assert tree["day"]["psnr"] == pytest.approx(day, rel=1e-4)
    assert tree["night"]["psnr"] == pytest.approx(night, rel=1e-4)
    assert tree["night"]["count"] == 3
    gray = tree["baseline"]["grayscale"]
    assert gray["psnr"] == pytest.approx(20 * np.log10(255 / 20), rel=1e-4)
    assert gray["gain_psnr"] == pytest.approx(tree["psnr"] - gray["psnr"], abs=1e-3)
    assert tree["baseline"]["zero_map"]["gain_psnr"] == 0


def test_every_mean_has_its_interval_beside_it() -> None:
    tree = infrared_metrics(_result(_scenes()), INTERVAL, RESAMPLING)
    for group in (tree, tree["day"], tree["baseline"]["grayscale"]):
        for metric in ("psnr", "ssim", "lpips", "l1"):
            assert group[f"{metric}_low"] <= group[metric] <= group[f"{metric}_high"]


def test_without_truth_there_is_a_count_and_nothing_else() -> None:
    assert infrared_metrics(InfraredEvaluation([]), INTERVAL, RESAMPLING) == {"count": 0}


def test_unknown_daytimes_count_in_the_whole_only() -> None:
    scenes = [TrueScene(s.id, "unknown", s.visible, s.infrared, s.semantic) for s in _scenes()]
    tree = infrared_metrics(_result(scenes), INTERVAL, RESAMPLING)
    assert "day" not in tree and "night" not in tree
    assert tree["count"] == 6
    assert "day" not in tree["baseline"]["grayscale"]


def test_rows_are_long_and_complete() -> None:
    rows = infrared_rows(_result(_scenes()))
    assert len(rows) == 6 * 3 * 11  # at 32 px there is MS-SSIM of two scales
    assert ("s1", "night", RUN, "l1", pytest.approx(10 / 255)) in rows


def test_every_measure_is_there_where_it_can_be() -> None:
    tree = infrared_metrics(_complete(), INTERVAL, RESAMPLING)
    items = {
        "psnr", "ssim", "ms_ssim_4", "lpips", "l1", "drift_px", "edge_f1",
        "edge_alignment", "class_l1", "target_precision", "target_recall", "target_f1",
    }  # fmt: skip
    for group in (tree, tree["day"], tree["night"], tree["baseline"]["grayscale"]):
        for metric in items:
            assert group[f"{metric}_low"] <= group[metric] <= group[f"{metric}_high"]
    assert tree["frechet_clip_micro"] == tree["baseline"]["grayscale"]["frechet_clip_micro"] == 0.5
    assert "frechet_clip_micro_low" not in tree, "a value of the whole set has no items"


def test_every_key_is_defined_with_a_direction() -> None:
    tree = infrared_metrics(_complete(), INTERVAL, RESAMPLING)
    for key, _ in flat_numbers(tree):
        found = definition_of(key)
        assert found is not None, key
        assert (found.better is None) == key.endswith("count")
    for name, definition in DEFINITIONS.items():
        assert "\n" not in definition.text and definition.text, name
    assert definition_of("baseline.zero_map.gain_psnr_low") is DEFINITIONS["gain_psnr"]
    assert definition_of("unheard_of") is None


def test_targets_are_summed_and_their_ratios_pooled_over_the_scenes() -> None:
    result = _complete()
    tree = infrared_metrics(result, INTERVAL, RESAMPLING)
    for variant, above in ((RUN, tree), ("grayscale", tree["baseline"]["grayscale"])):
        for members, group in ((range(4), above), ((1, 3), above["night"])):
            matched, missed, hallucinated = (
                sum(result.scores[variant][name][i] for i in members) for name in COUNTS
            )
            assert group["target_recall"] == pytest.approx(matched / (matched + missed), rel=1e-4)
            f1 = 2 * matched / (2 * matched + missed + hallucinated)
            assert group["target_f1"] == pytest.approx(f1, rel=1e-4)
        assert [above[name] for name in COUNTS] == [
            sum(result.scores[variant][name]) for name in COUNTS
        ]


def test_the_gain_over_the_best_baseline_is_paired() -> None:
    result = _complete()
    best = best_baseline(result)
    assert best == "mean_infrared", "a wrong-map run of the same model is no baseline"
    tree = infrared_metrics(result, INTERVAL, RESAMPLING)
    assert tree["best_baseline"] == best
    gains = np.subtract(result.scores[RUN]["psnr"], result.scores[best]["psnr"])
    assert tree["gain_psnr_best"] == pytest.approx(gains.mean(), rel=1e-4)
    assert tree["gain_psnr_best"] == tree["baseline"][best]["gain_psnr"]
    assert tree["gain_psnr_best_low"] == tree["baseline"][best]["gain_psnr_low"]


def test_the_table_of_classes_has_a_row_a_variant_and_class() -> None:
    result = _complete()
    rows: list[dict[str, Any]] = [
        dict(zip(CLASS_COLUMNS, row, strict=True)) for row in class_rows(result, RESAMPLING)
    ]
    assert {(row["variant"], row["class"]) for row in rows} == {
        (variant, name) for variant in result.pictures for name in ("road", "car")
    }
    own = [row for row in rows if row["variant"] == RUN]
    assert sum(row["pixels"] for row in own) == 4 * 96 * 96
    assert all(row["l1_low"] <= row["l1"] <= row["l1_high"] for row in rows)
    tree = infrared_metrics(result, INTERVAL, RESAMPLING)
    assert tree["class_l1"] == pytest.approx(np.mean([row["l1"] for row in own]), rel=1e-4)
    assert class_rows(_result(_scenes()), RESAMPLING) == []


def test_what_the_figures_rest_on_is_told() -> None:
    about = infrared_about(_complete())
    assert about == {
        "classes": "nearest colour of Cityscapes: road, car",
        "frechet_clip_micro": "of 4",
    }
    assert infrared_about(_result(_scenes())) == {}
