import numpy as np
import pytest
import torch

from refract.clip_model import ClipModel, load_clip
from refract.edit_scores import CaseScorer, EditCase
from refract.perceptual import ClipFeatureDistance
from refract.product_metrics import ProductPhoto, background_region
from tests.tiny_clip import write_tiny_clip

T, PX = 5, 48


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory: pytest.TempPathFactory) -> ClipModel:
    folder = write_tiny_clip(tmp_path_factory.mktemp("clip"))
    return load_clip(str(folder), None, torch.device("cpu"))


def _case(**clips: np.ndarray) -> EditCase:
    region = np.zeros((T, PX, PX), bool)
    for frame in range(T):
        region[frame, 14:34, 4 + 3 * frame : 24 + 3 * frame] = True
    source = np.random.default_rng(0).integers(90, 160, (1, PX, PX, 3), dtype=np.uint8)
    source = np.repeat(source, T, axis=0)
    source[region] = (205, 38, 42)
    pixels = np.full((PX, PX, 3), 220, np.uint8)
    pixels[8:40, 8:40] = (46, 158, 66)
    foreground = (pixels != 220).any(-1)
    right = np.where(region[..., None], np.array((46, 158, 66), np.uint8), source)
    frames = {"source": source, "right": right, **clips}
    photo = ProductPhoto(pixels, foreground)
    return EditCase("case", frames, photo, region, background_region([region], 3))


def _scorer(case: EditCase, model: ClipModel) -> CaseScorer:
    return CaseScorer(case, model, ClipFeatureDistance(model, "tiny"))


def test_the_source_scores_as_itself(clip_model: ClipModel) -> None:
    scores = _scorer(_case(), clip_model).scores("source")
    assert scores["temporal.relative_consistency"] == 1.0
    assert scores["temporal.relative_change"] == 1.0
    assert scores["background.psnr"] == 100.0
    assert scores["background.perceptual_micro"] == 0.0
    assert scores["product.histogram_overlap"] < 0.05


def test_a_right_edit_scores_better_than_the_source(clip_model: ClipModel) -> None:
    scorer = _scorer(_case(), clip_model)
    right, source = scorer.scores("right"), scorer.scores("source")
    assert right["product.histogram_overlap"] > source["product.histogram_overlap"] + 0.5
    assert right["product.clip_i_crop"] != source["product.clip_i_crop"]  # the CLIP is random here
    assert right["product.delta_e"] < source["product.delta_e"]
    assert right["background.psnr"] == 100.0
    assert right["background.perceptual_micro"] == 0.0  # nothing outside the product changed


def test_pasting_the_photo_wins_whole_frame_similarity_and_loses_the_background(
    clip_model: ClipModel,
) -> None:
    pasted = np.repeat(_case().photo.pixels[None], T, axis=0)  # type: ignore[union-attr]
    scorer = _scorer(_case(pasted=pasted), clip_model)
    cheat, right = scorer.scores("pasted"), scorer.scores("right")
    assert cheat["product.clip_i"] == pytest.approx(1.0, abs=1e-5)
    assert cheat["product.clip_i"] > right["product.clip_i"]
    assert cheat["background.psnr"] < right["background.psnr"] - 50
    assert cheat["background.perceptual_micro"] > 0


def test_a_frozen_video_shows(clip_model: ClipModel) -> None:
    frozen = np.repeat(_case().clips["right"][:1], T, axis=0)
    scores = _scorer(_case(frozen=frozen), clip_model).scores("frozen")
    assert scores["temporal.relative_consistency"] > 1.0
    assert scores["temporal.relative_change"] == 0.0


def test_equal_clips_are_scored_once(clip_model: ClipModel) -> None:
    scorer = _scorer(_case(copy=_case().clips["right"].copy()), clip_model)
    assert scorer.scores("copy") is scorer.scores("right")


def test_a_still_source_has_no_change_to_compare_with(clip_model: ClipModel) -> None:
    still = np.repeat(_case().source[:1], T, axis=0)
    scores = _scorer(EditCase("still", {"source": still, "edit": still}), clip_model).scores("edit")
    assert np.isnan(scores["temporal.relative_change"])
    assert scores["temporal.relative_consistency"] == pytest.approx(1.0)
    assert not [name for name in scores if not name.startswith("temporal")]


def test_without_masks_only_whole_frame_similarity_remains(clip_model: ClipModel) -> None:
    full = _case()
    case = EditCase("bare", full.clips, ProductPhoto(full.photo.pixels, None))  # type: ignore[union-attr]
    scores = _scorer(case, clip_model).scores("right")
    assert {name for name in scores if name.startswith("product")} == {"product.clip_i"}
    assert not [name for name in scores if name.startswith("background")]
