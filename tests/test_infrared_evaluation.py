from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from refract.bootstrap import mean_interval
from refract.infrared_evaluation import (
    RUN,
    InfraredEvaluation,
    infrared_metrics,
    infrared_rows,
    score_pictures,
)
from refract.infrared_scenes import Scene

INTERVAL = partial(mean_interval, resamples=100, seed=0)


@dataclass(frozen=True)
class MeanDifference:
    """A stand-in for the perceptual distance: nothing here depends on which one it is."""

    key: str = "perceptual_micro"
    about: str = "mean difference"

    def __call__(self, images: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> list[float]:
        assert all(image.shape[-1] == 3 for image in (*images, *truths))
        pairs = zip(images, truths, strict=True)
        return [float(np.abs(a.astype(float) - b).mean()) for a, b in pairs]


def _scenes(count: int = 6) -> list[Scene]:
    rng = np.random.default_rng(0)
    blank = np.zeros((16, 16, 3), np.uint8)
    truths = rng.integers(30, 220, (count, 16, 16), np.uint8)
    daytimes = ["day", "night"] * count
    return [Scene(f"s{i}", daytimes[i], blank, truth, blank) for i, truth in enumerate(truths)]


def _off_by(scenes: list[Scene], levels: Sequence[int]) -> list[np.ndarray]:
    return [scene.infrared + np.uint8(k) for scene, k in zip(scenes, levels, strict=True)]


def _result(scenes: list[Scene]) -> InfraredEvaluation:
    pictures = {
        RUN: _off_by(scenes, [1, 10] * (len(scenes) // 2)),
        "grayscale": _off_by(scenes, [20] * len(scenes)),
        "zero_map": _off_by(scenes, [1, 10] * (len(scenes) // 2)),
    }
    scores = {
        name: score_pictures(made, scenes, MeanDifference()) for name, made in pictures.items()
    }
    return InfraredEvaluation(scenes, pictures, scores)


def test_scores_of_a_known_error() -> None:
    scenes = _scenes(2)
    scores = score_pictures(_off_by(scenes, [0, 10]), scenes, MeanDifference())
    assert scores["psnr"] == pytest.approx([100.0, 20 * np.log10(25.5)])
    assert scores["l1"] == pytest.approx([0, 10 / 255])
    assert scores["ssim"][0] == pytest.approx(1.0)
    assert scores["perceptual_micro"] == [0.0, 10.0]


def test_tree_holds_means_intervals_groups_and_baselines() -> None:
    scenes = _scenes()
    tree = infrared_metrics(_result(scenes), INTERVAL)
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
    assert "lpips" not in tree and "perceptual_micro" in tree


def test_every_mean_has_its_interval_beside_it() -> None:
    tree = infrared_metrics(_result(_scenes()), INTERVAL)
    for group in (tree, tree["day"], tree["baseline"]["grayscale"]):
        for metric in ("psnr", "ssim", "perceptual_micro", "l1"):
            assert group[f"{metric}_low"] <= group[metric] <= group[f"{metric}_high"]


def test_without_truth_there_is_a_count_and_nothing_else() -> None:
    assert infrared_metrics(InfraredEvaluation([]), INTERVAL) == {"count": 0}


def test_unknown_daytimes_count_in_the_whole_only() -> None:
    scenes = [Scene(s.id, "unknown", s.visible, s.infrared, s.semantic) for s in _scenes()]
    tree = infrared_metrics(_result(scenes), INTERVAL)
    assert "day" not in tree and "night" not in tree
    assert tree["count"] == 6
    assert "day" not in tree["baseline"]["grayscale"]


def test_rows_are_long_and_complete() -> None:
    rows = infrared_rows(_result(_scenes()))
    assert len(rows) == 6 * 3 * 4
    assert ("s1", "night", RUN, "perceptual_micro", 10.0) in rows
