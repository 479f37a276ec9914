import numpy as np
import pytest
import torch

from refract.evaluation.measures.image import PSNR_CEILING
from refract.evaluation.measures.photo_similarity import cosines
from refract.evaluation.measures.product import (
    ProductPhoto,
    adjacent_similarities,
    background_measures,
    background_region,
    colour_measures,
    crop_square,
    frame_changes,
    outside_only,
)

T, PX = 5, 48
RED, GREEN, BLUE = (205, 38, 42), (46, 158, 66), (45, 88, 212)


def _square(frame: int) -> np.ndarray:
    """A product that moves right by three pixels a frame."""
    mask = np.zeros((PX, PX), bool)
    mask[14:34, 4 + 3 * frame : 24 + 3 * frame] = True
    return mask


REGION = np.stack([_square(i) for i in range(T)])


def _clip(colour: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    ground = np.random.default_rng(seed).integers(100, 160, (PX, PX, 1), dtype=np.uint8)
    frames = np.broadcast_to(ground, (T, PX, PX, 3)).copy()
    frames[REGION] = colour
    return frames


def _photo(colour: tuple[int, int, int]) -> ProductPhoto:
    pixels = np.full((PX, PX, 3), 220, np.uint8)
    foreground = np.zeros((PX, PX), bool)
    foreground[8:40, 8:40] = True
    pixels[foreground] = colour
    return ProductPhoto(pixels, foreground)


def test_the_right_colour_overlaps_and_the_wrong_one_does_not() -> None:
    right = colour_measures(_clip(GREEN), REGION, _photo(GREEN)).scores
    wrong = colour_measures(_clip(RED), REGION, _photo(GREEN)).scores
    assert right["product.histogram_overlap"] == pytest.approx(1.0)
    assert right["product.delta_e"] == pytest.approx(0.0, abs=1e-6)
    assert wrong["product.histogram_overlap"] < 0.01
    assert wrong["product.delta_e"] > 50


def test_the_photos_backdrop_does_not_count() -> None:
    photo = _photo(GREEN)
    other = ProductPhoto(np.where(photo.foreground[..., None], photo.pixels, 0), photo.foreground)  # type: ignore[index]
    np.testing.assert_array_equal(photo.histogram, other.histogram)


def test_pasting_the_photo_over_the_frame_ruins_the_background() -> None:
    """The cheat that whole-frame CLIP-I rewards: it must show somewhere."""
    source, photo = _clip(RED), _photo(GREEN)
    pasted = np.broadcast_to(photo.pixels, source.shape)
    background = background_region([REGION], 4)
    scores = background_measures(pasted, source, background).scores
    assert scores["background.psnr"] < 15
    assert scores["background.ssim"] < 0.5


def test_an_edit_inside_the_product_leaves_the_background_perfect() -> None:
    source, edit = _clip(RED), _clip(BLUE)
    scores = background_measures(edit, source, background_region([REGION], 4)).scores
    assert scores["background.psnr"] == PSNR_CEILING
    # a window of SSIM reaches 5 px, one more than the dilation: what little it sees is not hidden
    assert scores["background.ssim"] > 0.99
    np.testing.assert_array_equal(
        outside_only(edit, source, background_region([REGION], 0)), source
    )


def test_background_lies_outside_every_mask() -> None:
    other = np.zeros_like(REGION)
    other[:, 40:44, 40:44] = True
    background = background_region([REGION, other], 2)
    assert not (background & (REGION | other)).any()
    assert background.any()


def test_a_frozen_video_is_more_consistent_than_its_source_and_does_not_move() -> None:
    source = _clip(RED)
    frozen = np.broadcast_to(source[:1], source.shape)
    assert max(frame_changes(frozen)) == 0 < min(frame_changes(source))
    features = torch.nn.functional.normalize(torch.from_numpy(source).float().flatten(1), dim=1)
    assert max(adjacent_similarities(features)) < 1
    assert adjacent_similarities(features[:1].expand(T, -1)) == pytest.approx([1.0] * (T - 1))


def test_one_frame_has_no_change() -> None:
    assert frame_changes(_clip(RED)[:1]) == []
    assert adjacent_similarities(torch.ones(1, 4)) == []


def test_similarity_is_the_mean_cosine() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = cosines("product.a_i", features, torch.tensor([[1.0, 0.0]]))
    assert found.series == {"product.a_i": [1.0, 0.0]}
    assert found.scores == {"product.a_i": pytest.approx(0.5)}


def test_crop_holds_the_product_and_an_empty_mask_gives_the_frame() -> None:
    frame = _clip(RED)[0]
    crop = crop_square(frame, REGION[0])
    assert crop.shape[0] == crop.shape[1] == 26
    assert (crop == RED).all(-1).sum() == REGION[0].sum()
    np.testing.assert_array_equal(crop_square(frame, np.zeros((PX, PX), bool)), frame)
