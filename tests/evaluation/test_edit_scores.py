from collections.abc import Sequence

import numpy as np
import pytest
import torch

from refract.evaluation.directions import direction_of
from refract.evaluation.edits.baselines import with_cheats
from refract.evaluation.edits.definitions import EDIT_METRICS
from refract.evaluation.edits.delivered import DELIVERED_METRICS
from refract.evaluation.edits.scores import CaseScorer, EditCase
from refract.evaluation.measures.colour import delta_e, lab_pixels
from refract.evaluation.measures.product import (
    ERODE_PX,
    ProductPhoto,
    background_measures,
    background_region,
    colour_measures,
    frame_changes,
)
from refract.media.regions import core
from refract.models.clip import ClipModel, load_clip
from tests.tiny.clip import write_tiny_clip
from tests.tiny.lpips import published_lpips

T, PX = 5, 48


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory: pytest.TempPathFactory) -> ClipModel:
    folder = write_tiny_clip(tmp_path_factory.mktemp("clip"))
    return load_clip(str(folder), None, torch.device("cpu"))


def _case(**clips: np.ndarray) -> EditCase:
    region = np.zeros((T, PX, PX), bool)
    for frame in range(T):
        region[frame, 14:34, 4 + 3 * frame : 24 + 3 * frame] = True
    source = np.random.default_rng(0).integers(115, 135, (1, PX, PX, 3), dtype=np.uint8)
    source = np.repeat(source, T, axis=0)
    source[region] = (205, 38, 42)
    pixels = np.full((PX, PX, 3), 220, np.uint8)
    pixels[8:40, 8:40] = (46, 158, 66)
    foreground = (pixels != 220).any(-1)
    right = np.where(region[..., None], np.array((46, 158, 66), np.uint8), source)
    frames = {"source": source, "right": right, **clips}
    photo = ProductPhoto(pixels, foreground)
    return EditCase("case", frames, photo, region, background_region([region], 3), "a red mug")


def _scorer(case: EditCase, model: ClipModel) -> CaseScorer:
    return CaseScorer(case, model, published_lpips())


def test_the_source_scores_as_itself(clip_model: ClipModel) -> None:
    scores = _scorer(_case(), clip_model).measured("source").scores
    for name in ("consistency", "change", "warp_error"):
        assert scores[f"temporal.relative_{name}"] == 1.0
    assert scores["temporal.motion_fidelity_dis"] == pytest.approx(1.0)
    assert scores["background.psnr"] == 100.0
    assert scores["background.lpips"] == 0.0
    assert scores["product.histogram_overlap"] < 0.05


def test_a_right_edit_scores_better_than_the_source(clip_model: ClipModel) -> None:
    scorer = _scorer(_case(), clip_model)
    right, source = scorer.measured("right").scores, scorer.measured("source").scores
    assert right["product.histogram_overlap"] > source["product.histogram_overlap"] + 0.5
    assert (
        right["product.clip_micro_i_crop"] != source["product.clip_micro_i_crop"]
    )  # the CLIP is random here
    assert right["product.delta_e"] < source["product.delta_e"]
    assert right["background.psnr"] == 100.0
    assert right["background.lpips"] == 0.0  # nothing outside the product changed


def test_pasting_the_photo_wins_whole_frame_similarity_and_loses_the_background(
    clip_model: ClipModel,
) -> None:
    pasted = np.repeat(_case().photo.pixels[None], T, axis=0)  # type: ignore[union-attr]
    scorer = _scorer(_case(pasted=pasted), clip_model)
    cheat, right = scorer.measured("pasted").scores, scorer.measured("right").scores
    assert cheat["product.clip_micro_i"] == pytest.approx(1.0, abs=1e-5)
    assert cheat["product.clip_micro_i"] > right["product.clip_micro_i"]
    assert cheat["background.psnr"] < right["background.psnr"] - 50
    assert cheat["background.lpips"] > 0


def test_a_frozen_video_shows(clip_model: ClipModel) -> None:
    frozen = np.repeat(_case().clips["right"][:1], T, axis=0)
    scores = _scorer(_case(frozen=frozen), clip_model).measured("frozen").scores
    assert scores["temporal.relative_consistency"] > 1.0
    assert scores["temporal.relative_change"] == 0.0
    assert scores["temporal.motion_fidelity_dis"] == 0.0
    assert scores["temporal.relative_warp_error"] > 3.0
    assert scores["product.motion_agreement"] < 0.5
    assert scores["temporal.flickering"] == 1.0  # VBench's measure alone would praise it


def test_equal_clips_are_scored_once(clip_model: ClipModel) -> None:
    scorer = _scorer(_case(copy=_case().clips["right"].copy()), clip_model)
    assert scorer.measured("copy").scores is scorer.measured("right").scores


def test_a_still_source_has_no_change_to_compare_with(clip_model: ClipModel) -> None:
    still = np.repeat(_case().source[:1], T, axis=0)
    scores = (
        _scorer(EditCase("still", {"source": still, "edit": still}), clip_model)
        .measured("edit")
        .scores
    )
    assert np.isnan(scores["temporal.relative_change"])
    assert scores["temporal.relative_consistency"] == pytest.approx(1.0)
    assert not [name for name in scores if not name.startswith("temporal")]
    assert np.isnan(scores["temporal.motion_fidelity_dis"])
    assert scores["temporal.flickering"] == 1.0


def test_without_masks_only_whole_frame_similarity_remains(clip_model: ClipModel) -> None:
    full = _case()
    case = EditCase("bare", full.clips, ProductPhoto(full.photo.pixels, None))  # type: ignore[union-attr]
    scores = _scorer(case, clip_model).measured("right").scores
    assert {name for name in scores if name.startswith("product")} == {"product.clip_micro_i"}
    assert not [name for name in scores if name.startswith("background")]


def test_without_masks_the_plain_edit_tells_the_region_under_a_key_of_its_own(
    clip_model: ClipModel,
) -> None:
    full = _case()
    source, region = full.source, full.region
    plain = np.where(region[..., None], np.array((180, 120, 60), np.uint8), source)  # type: ignore[index]
    cheats = with_cheats(_case(reference=full.clips["right"])).clips
    bare = EditCase("bare", {**cheats, "plain": plain}, full.photo)
    found = {
        name: _scorer(bare, clip_model).measured(name).scores["product.fidelity_found"]
        for name in bare.clips
    }
    assert found.pop("reference") == found.pop("right") > 0.8
    assert max(found.values()) == found["pasted_tracked"], "which is told the masks"
    del found["pasted_tracked"]
    assert max(found.values()) < 0.7
    keys = _scorer(bare, clip_model).measured("right").scores.keys()
    assert "product.fidelity" not in keys and "background.psnr" not in keys
    unchanged = EditCase("bare", {**bare.clips, "plain": source}, full.photo)
    scores = _scorer(unchanged, clip_model).measured("right").scores
    assert np.isnan(scores["product.fidelity_found"])


def test_every_score_has_a_definition(clip_model: ClipModel) -> None:
    dino = ConstantEncoder()
    scorer = CaseScorer(_case(), clip_model, published_lpips(), dino)
    scores, series = scorer.measured("right").scores, scorer.measured("right").series
    assert scores.keys() <= EDIT_METRICS.keys()
    assert series.keys() <= scores.keys()
    others = {"product.clip_i", "product.clip_i_crop", "product.clip_t"}  # by another CLIP
    others |= {"product.fidelity_found", *DELIVERED_METRICS}
    assert EDIT_METRICS.keys() - scores.keys() == others


class ConstantEncoder:
    """Sees the same in every picture."""

    key = "dino"

    def image_features(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.ones(len(images), 4), dim=1)


def test_a_second_encoder_has_measures_of_its_own(clip_model: ClipModel) -> None:
    own = CaseScorer(_case(), clip_model, None).measured("right").scores
    both = CaseScorer(_case(), clip_model, None, ConstantEncoder()).measured("right").scores
    assert both["product.dino_i"] == pytest.approx(1.0)
    assert both["product.dino_i_crop"] == pytest.approx(1.0)
    assert own == {key: both[key] for key in own}
    assert both.keys() - own.keys() == {"product.dino_i", "product.dino_i_crop"}


def test_similarity_to_the_prompt_is_its_cosine(clip_model: ClipModel) -> None:
    case = _case()
    key = "product.clip_micro_t"
    frames = clip_model.image_features(list(case.clips["right"]))
    words = clip_model.prompt_features("a red mug")
    scorer = _scorer(case, clip_model)
    assert scorer.measured("right").series[key] == pytest.approx(
        (frames @ words[0]).tolist(), abs=1e-6
    )
    assert scorer.measured("right").scores[key] == pytest.approx(
        float((frames @ words[0]).mean()), abs=1e-6
    )
    without = _scorer(EditCase("case", case.clips), clip_model).measured("right").scores
    assert key not in without


def test_series_have_a_value_a_frame_or_a_pair(clip_model: ClipModel) -> None:
    series = _scorer(_case(), clip_model).measured("right").series
    assert {key for key, values in series.items() if len(values) == T} == {
        "product.clip_micro_i", "product.clip_micro_i_crop", "product.clip_micro_t",
        "product.histogram_overlap", "product.delta_e", "product.shape_iou", "product.lpips_crop",
        "background.psnr", "background.ssim", "background.lpips", "background.vmaf",
    }  # fmt: skip
    assert {key for key, values in series.items() if len(values) == T - 1} == {
        "product.motion_agreement", "temporal.relative_change", "temporal.relative_consistency",
        "temporal.relative_warp_error",
    }  # fmt: skip


def test_scores_over_all_frames_stay_pooled_and_the_rest_are_means(clip_model: ClipModel) -> None:
    rng = np.random.default_rng(3)
    case = _case()
    strength = np.linspace(0, 60, T)[:, None, None, None]  # worse from frame to frame
    noisy = case.clips["right"] + rng.normal(0, 1, case.source.shape) * strength
    case = _case(noisy=noisy.clip(0, 255).astype(np.uint8))
    clip, scorer = case.clips["noisy"], _scorer(case, clip_model)
    scores, series = scorer.measured("noisy").scores, scorer.measured("noisy").series
    assert case.region is not None and case.photo is not None and case.background is not None
    pooled = colour_measures(clip, case.region, case.photo).scores
    pooled |= background_measures(clip, case.source, case.background).scores
    for key, value in pooled.items():
        assert scores[key] == value
    for key in ("product.histogram_overlap", "product.delta_e", "background.psnr"):
        assert scores[key] != pytest.approx(np.mean(series[key]), rel=1e-3)
    own_mean = {*series} - {"product.histogram_overlap", "product.delta_e", "background.psnr",
                            "product.motion_agreement"}  # fmt: skip
    for key in own_mean:
        assert scores[key] == pytest.approx(np.nanmean(series[key])), key
    inside = core(case.region, ERODE_PX)  # each frame's own colours
    third = delta_e(lab_pixels(clip[2][inside[2]]), case.photo.lab)
    assert series["product.delta_e"][2] == pytest.approx(third)
    change = np.mean(frame_changes(clip)) / np.mean(frame_changes(case.source))
    assert scores["temporal.relative_change"] == pytest.approx(change)


WINS = {  # the table of docs/lab_notes.md, as far as one edit can show it
    "source": "background.psnr background.lpips background.vmaf temporal.motion_fidelity_dis",
    "frozen": "temporal.flickering",
    "pasted": "product.histogram_overlap product.delta_e",
    "pasted_frame": "product.histogram_overlap product.delta_e product.lpips_crop",
}
LOSES = {
    "source": "product.histogram_overlap product.shape_iou product.lpips_crop",
    "frozen": "product.motion_agreement temporal.motion_fidelity_dis background.vmaf",
    "pasted": "product.motion_agreement product.shape_iou temporal.motion_fidelity_dis",
    "pasted_frame": "product.motion_agreement product.shape_iou background.psnr background.vmaf",
}


@pytest.mark.parametrize("cheat", WINS)
def test_a_cheat_wins_single_measures_and_loses_others_and_fidelity(
    cheat: str, cheated: dict[str, dict[str, float]]
) -> None:
    """Against an edit of the right place, shape and motion, and of a wrong green."""

    def loss(metric: str) -> float:
        if metric == "temporal.flickering":  # it has no direction, for this very reason
            return cheated["reference"][metric] - cheated[cheat][metric]
        direction = direction_of(metric)
        assert direction is not None
        values = np.array([cheated[cheat][metric], cheated["reference"][metric]])
        return float(-np.diff(direction.badness(values))[0])

    assert all(loss(metric) <= 0 for metric in WINS[cheat].split())
    assert all(loss(metric) > 0 for metric in LOSES[cheat].split())
    assert loss("product.fidelity") > 0.2


@pytest.fixture(scope="module")
def cheated(clip_model: ClipModel) -> dict[str, dict[str, float]]:
    case = _case()
    assert case.region is not None
    edit = np.where(case.region[..., None], np.array((80, 130, 60), np.uint8), case.source)
    scorer = _scorer(with_cheats(_case(reference=edit)), clip_model)
    return {name: scorer.measured(name).scores for name in (*WINS, "reference")}
