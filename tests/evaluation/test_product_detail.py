"""LPIPS of the product alone: the turn it takes, what it sees and what it does not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from refract.evaluation.measures.product import ProductPhoto
from refract.evaluation.measures.product_detail import CROP_PX, DETAIL_KEY, ProductDetail, cut_out
from tests.tiny.lpips import published_lpips

PX, SIDE = 72, 33
RNG = np.random.default_rng(0)
GRAY = np.full((PX, PX, 3), 200, np.uint8)


def _product(colour: tuple[int, int, int]) -> np.ndarray:
    """A dotted square with a dark corner, so that each turn of it is another picture."""
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = np.where(((x % 8 < 4) & (y % 8 < 4))[..., None], 240, np.array(colour))
    pixels[:12, :12] = 20
    return pixels.astype(np.uint8)


def _frame(product: np.ndarray, top: int, left: int, ground: np.ndarray = GRAY) -> np.ndarray:
    frame = ground.copy()
    frame[top : top + SIDE, left : left + SIDE] = product
    return frame


def _mask(top: int, left: int) -> np.ndarray:
    return np.asarray((_frame(np.ones((SIDE, SIDE, 3), np.uint8), top, left) == 1).all(-1))


MUG = _product((200, 40, 40))
PHOTO = ProductPhoto(_frame(MUG, 20, 20), _mask(20, 20))
PLACES = ((10, 10), (21, 17), (30, 34))
REGION = np.stack([_mask(*place) for place in PLACES])


def _clip(product: np.ndarray, ground: np.ndarray = GRAY) -> np.ndarray:
    return np.stack([_frame(product, *place, ground) for place in PLACES])


@pytest.fixture(scope="module")
def detail() -> ProductDetail:
    return ProductDetail(published_lpips(), PHOTO)


@pytest.mark.parametrize("turn", range(4))
def test_the_product_itself_is_at_no_distance_whichever_way_up(
    detail: ProductDetail, turn: int
) -> None:
    measured = detail.measures(_clip(np.rot90(MUG, turn)), REGION)
    assert measured.scores == {DETAIL_KEY: pytest.approx(0, abs=1e-6)}
    assert measured.series == {DETAIL_KEY: pytest.approx([0, 0, 0], abs=1e-6)}


def test_one_turn_serves_the_whole_clip(detail: ProductDetail) -> None:
    clip = _clip(MUG)
    clip[2] = _frame(np.rot90(MUG), *PLACES[2])
    first, second, last = detail.measures(clip, REGION).series[DETAIL_KEY]
    assert first == second == pytest.approx(0, abs=1e-6) and last > 0.05


def test_another_product_is_further_than_a_blurred_one(detail: ProductDetail) -> None:
    products = [gaussian_filter(MUG, (s, s, 0)) for s in (0, 0.7, 1.5, 3)]
    *blurred, other = (
        detail.measures(_clip(product), REGION).scores[DETAIL_KEY]
        for product in (*products, _product((40, 40, 200)))
    )
    assert (np.diff(blurred) > 0.005).all()
    assert other > 0.1


def test_only_the_product_is_seen(detail: ProductDetail) -> None:
    noise = RNG.integers(0, 256, GRAY.shape, np.uint8)
    one, other = (detail.measures(_clip(MUG[::-1], ground), REGION) for ground in (GRAY, noise))
    assert one == other and one.scores[DETAIL_KEY] > 0
    busy = ProductDetail(published_lpips(), ProductPhoto(_frame(MUG, 20, 20, noise), _mask(20, 20)))
    assert busy.measures(_clip(MUG[::-1]), REGION) == one


def test_a_frame_without_a_region_has_no_value(detail: ProductDetail) -> None:
    region = REGION.copy()
    region[1] = False
    measured = detail.measures(_clip(MUG), region)
    assert np.isnan(measured.series[DETAIL_KEY]).tolist() == [False, True, False]
    assert measured.scores[DETAIL_KEY] == pytest.approx(0, abs=1e-6)
    assert np.isnan(detail.measures(_clip(MUG), region & False).scores[DETAIL_KEY])


def test_a_cut_out_is_the_product_on_gray() -> None:
    cut = cut_out(_frame(MUG, 10, 10), _mask(10, 10))
    assert cut.shape == (CROP_PX, CROP_PX, 3) and (cut[:4] == 128).all()
