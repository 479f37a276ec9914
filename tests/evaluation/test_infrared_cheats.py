"""Each way to a good figure without a good picture is seen by another figure."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from refract.evaluation.infrared.class_error import class_errors
from refract.evaluation.infrared.scenes import Gray
from refract.evaluation.infrared.scores import SceneScorer, score_pictures
from refract.evaluation.infrared.semantic_classes import find_classes
from refract.evaluation.infrared.targets import (
    COUNTS,
    find_targets,
    target_counts,
    target_intervals,
)
from refract.evaluation.measures.bootstrap import Resampling
from refract.evaluation.measures.perceptual import Lpips
from refract.evaluation.measures.set_distance import frechet_distance
from tests.tiny.lpips import published_lpips
from tests.tiny.street_pictures import VEHICLE, street_scene, with_moved_vehicles

SCENES = [street_scene(seed) for seed in range(6)]
TRUTHS = [scene.infrared for scene in SCENES]
Pictures = Sequence[Gray] | NDArray[np.uint8]


def _means(pictures: Pictures, lpips: Lpips | None = None) -> dict[str, float]:
    scores = score_pictures(SCENES, {"": list(pictures)}, lambda scene: SceneScorer(scene, lpips))[
        ""
    ]
    return {metric: float(np.mean(values)) for metric, values in scores.items()}


def _targets(pictures: Pictures) -> dict[str, float]:
    """Precision, recall and F1; without the first where nothing was made."""
    pairs = zip(TRUTHS, pictures, strict=True)
    counts = [target_counts(find_targets(truth), find_targets(made)) for truth, made in pairs]
    found = target_intervals({n: [c[n] for c in counts] for n in COUNTS}, Resampling(100))
    return {name: one.mean for name, one in found.items() if one is not None}


def _noisy(deviation: float) -> list[Gray]:
    """An honest model: everything in its place, each pixel a little wrong."""
    rng = np.random.default_rng(0)
    off = [rng.normal(0, deviation, truth.shape) for truth in TRUTHS]
    return [np.clip(t + o, 0, 255).astype(np.uint8) for t, o in zip(TRUTHS, off, strict=True)]


def test_the_truth_itself_is_best_in_everything() -> None:
    found = _means(TRUTHS)
    assert found["psnr"] == 100 and found["l1"] == found["drift_px"] == 0
    for metric in ("ssim", "ms_ssim_4", "edge_f1", "edge_alignment"):
        assert found[metric] == pytest.approx(1)


def test_a_constant_beats_an_honest_picture_in_psnr_alone() -> None:
    constant = _means([np.full_like(truth, round(float(truth.mean()))) for truth in TRUTHS])
    honest = _means(_noisy(60))
    assert constant["psnr"] > honest["psnr"]
    assert constant["edge_f1"] == 0 and constant["drift_px"] == 12
    assert honest["edge_f1"] > 0.4


def test_a_blur_wins_psnr_and_loses_the_outlines_and_lpips_which_a_shift_wins() -> None:
    blurred = _means([gaussian_filter(truth, 5) for truth in TRUTHS], published_lpips())
    honest = _means(_noisy(35))
    assert blurred["psnr"] > honest["psnr"]
    assert blurred["edge_f1"] < honest["edge_f1"]
    shifted = _means([np.roll(truth, 4, 1) for truth in TRUTHS], published_lpips())
    assert shifted["lpips"] < 0.15 < 0.4 < blurred["lpips"]


def test_a_shift_hardly_costs_psnr_but_is_told_in_pixels() -> None:
    shifted = _means([np.roll(truth, 4, 1) for truth in TRUTHS])
    honest = _means(_noisy(35))
    assert shifted["psnr"] > honest["psnr"]
    assert shifted["drift_px"] == pytest.approx(4, abs=0.1)
    assert _means(_noisy(10))["drift_px"] < 0.5
    assert shifted["edge_f1"] < honest["edge_f1"]


def test_moved_vehicles_hardly_cost_psnr_but_edges_and_drift() -> None:
    moved = _means([with_moved_vehicles(scene, 7) for scene in SCENES])
    honest = _means(_noisy(35))
    assert moved["psnr"] > honest["psnr"]
    assert moved["edge_f1"] < 0.9
    assert moved["edge_alignment"] < 1
    # Here, where vehicles are all that both pictures show, even the shift of the whole is theirs.
    assert moved["drift_px"] == pytest.approx(7, abs=0.2)


def test_an_inverted_picture_has_the_outlines_but_no_likeness() -> None:
    inverted = _means([255 - truth for truth in TRUTHS])
    assert inverted["edge_f1"] == pytest.approx(1) and inverted["drift_px"] == 0
    assert inverted["ssim"] < 0.3 and inverted["ms_ssim_4"] < 0.1


def test_the_visible_picture_itself_is_no_infrared_picture() -> None:
    copied = _means([scene.visible[..., 0] for scene in SCENES])
    honest = _means(_noisy(35))
    assert copied["drift_px"] < 0.3
    assert copied["edge_alignment"] > 1.1, "more like the visible picture than the truth is"
    assert copied["psnr"] < honest["psnr"] and copied["edge_f1"] < honest["edge_f1"]


def test_class_means_win_the_targets_and_lose_the_levels_and_a_wrong_map_loses_all() -> None:
    """Each class painted in its mean level, by the true map and by the next scene's."""
    there = [(scene.semantic == VEHICLE).all(-1) for scene in SCENES]
    truths, masks = np.stack(TRUTHS), np.stack(there)
    painted = np.where(masks, truths[masks].mean(), truths[~masks].mean()).astype(np.uint8)
    right, wrong, honest = _means(painted), _means(np.roll(painted, 1, 0)), _means(_noisy(15))
    assert _targets(painted)["target_f1"] == _targets(_noisy(15))["target_f1"] == 1
    assert right["psnr"] < honest["psnr"] - 3 and right["l1"] > 2 * honest["l1"]
    assert _targets(np.roll(painted, 1, 0))["target_f1"] < 0.2
    assert wrong["psnr"] < right["psnr"] - 3 and wrong["edge_f1"] < right["edge_f1"] / 2


def test_a_missing_pedestrian_hides_in_l1_and_shows_in_class_l1() -> None:
    maps = [scene.semantic for scene in SCENES]
    without = []
    for scene in SCENES:
        there = (scene.semantic == VEHICLE).all(-1)
        without.append(np.where(there, np.uint8(80), scene.infrared))
    errors = class_errors(
        {"without": without, "noisy": _noisy(20)}, TRUTHS, maps, find_classes(maps)
    )
    plain = {name: _means(pictures)["l1"] for name, pictures in
             (("without", without), ("noisy", _noisy(20)))}  # fmt: skip
    macro = {name: errors.macro_interval(name, Resampling(100)) for name in plain}
    assert plain["without"] < plain["noisy"]
    assert macro["without"] is not None and macro["noisy"] is not None
    assert macro["without"].mean > 2 * macro["noisy"].mean


def test_targets_missed_moved_or_of_other_scenes_are_told_from_noise_and_blur() -> None:
    assert _targets(TRUTHS) == {"target_precision": 1, "target_recall": 1, "target_f1": 1}
    for honest in (_noisy(35), [gaussian_filter(truth, 2) for truth in TRUTHS]):
        assert _targets(honest)["target_f1"] > 0.85
    constant = [np.full_like(truth, 90) for truth in TRUTHS]
    assert _targets(constant) == {"target_recall": 0, "target_f1": 0}
    moved = [with_moved_vehicles(scene, 12) for scene in SCENES]
    for wrong in (moved, [*TRUTHS[1:], TRUTHS[0]]):
        found = _targets(wrong)
        assert found["target_precision"] < 0.2 and found["target_recall"] < 0.2
    assert _targets([scene.visible[..., 0] for scene in SCENES])["target_f1"] < 0.4


def test_pictures_of_the_wrong_scenes_are_far_in_pairs_though_not_as_a_set() -> None:
    swapped = [*TRUTHS[1:], TRUTHS[0]]
    ours, theirs = (
        np.stack([picture[::24, ::24].ravel() for picture in group]).astype(np.float64)
        for group in (swapped, TRUTHS)
    )
    assert frechet_distance(ours, theirs) == pytest.approx(0, abs=1e-6)
    found = _means(swapped)
    assert found["psnr"] < 25 and found["edge_f1"] < 0.7
