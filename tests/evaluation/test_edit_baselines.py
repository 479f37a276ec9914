import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refract.evaluation.edits.baselines import frozen, pasted, pasted_tracked, with_cheats
from refract.evaluation.edits.scores import EditCase
from refract.evaluation.measures.product import ProductPhoto
from refract.media.regions import grow, shrink

T, PX = 5, 48
GREEN = (46, 158, 66)


def _region(side: int = 16, step: int = 4) -> np.ndarray:
    region = np.zeros((T, PX, PX), bool)
    for frame in range(T):
        region[frame, 10 : 10 + side, 4 + step * frame : 4 + side + step * frame] = True
    return region


def _photo(side: int = 32) -> ProductPhoto:
    pixels = np.full((PX, PX, 3), 220, np.uint8)
    pixels[6 : 6 + side, 8 : 8 + side] = GREEN
    return ProductPhoto(pixels, (pixels != 220).any(-1))


def _source() -> np.ndarray:
    frame = np.random.default_rng(0).integers(90, 160, (1, PX, PX, 3), dtype=np.uint8)
    return np.repeat(frame, T, axis=0)


def _is_green(clip: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(clip.astype(int) - GREEN).max(-1) <= 2)


@settings(max_examples=15)
@given(st.integers(8, 20), st.integers(0, 5), st.integers(10, 36))
def test_a_tracked_photo_fills_a_region_of_its_shape(side: int, step: int, own: int) -> None:
    region = _region(side, step)
    clip = pasted_tracked(_source(), region, _photo(own))
    assert _is_green(clip)[shrink(region, 3)].all()  # but for the blended outline
    np.testing.assert_array_equal(clip[~grow(region, 6)], _source()[~grow(region, 6)])


def test_a_pasted_photo_stands_still_in_the_middle_of_the_way() -> None:
    clip = pasted(_source(), _region(), _photo())
    assert (clip == clip[:1]).all()  # this source stands still, too
    np.testing.assert_array_equal(clip[2], pasted_tracked(_source(), _region(), _photo())[2])


def test_a_frame_without_a_region_keeps_the_source() -> None:
    region = _region()
    region[1] = False
    clip = pasted_tracked(_source(), region, _photo())
    np.testing.assert_array_equal(clip[1], _source()[1])
    np.testing.assert_array_equal(pasted(_source(), region & False, _photo()), _source())


def test_frozen_repeats_the_first_frame_of_the_strongest_edit_of_the_curve() -> None:
    clip = _source() + np.arange(T, dtype=np.uint8)[:, None, None, None]
    assert frozen(clip).shape == clip.shape
    assert (frozen(clip) == clip[0]).all()
    edits = {"source": _source(), "reference": clip, "s030": clip + 1, "s120": clip + 2}
    for known, first in ((list(edits), clip[0] + 2), (["source", "reference"], clip[0])):
        case = with_cheats(EditCase("a", {name: edits[name] for name in known}))
        assert (case.clips["frozen"] == first).all()


def test_a_case_gets_the_cheats_it_allows() -> None:
    source, region, photo = _source(), _region(), _photo()
    clips = {"source": source, "reference": source}
    whole = with_cheats(EditCase("a", clips, photo, region, ~region))
    assert set(whole.clips) == {*clips, "pasted", "pasted_tracked", "pasted_frame", "frozen"}
    assert all(clip.shape == source.shape for clip in whole.clips.values())
    assert all(clip.dtype == np.uint8 for clip in whole.clips.values())
    np.testing.assert_array_equal(whole.clips["pasted_frame"][3], photo.pixels)

    def added(case: EditCase) -> set[str]:
        return set(with_cheats(case).clips) - set(clips)

    assert added(EditCase("a", clips)) == {"frozen"}
    assert added(EditCase("a", clips, photo)) == {"frozen", "pasted_frame"}
    without = ProductPhoto(photo.pixels, None)
    assert added(EditCase("a", clips, without, region, ~region)) == {"frozen", "pasted_frame"}
    assert added(EditCase("a", {"source": source}, photo)) == {"pasted_frame"}


@pytest.mark.parametrize("column", [0, PX - 16])
def test_what_reaches_beyond_the_frame_is_cut(column: int) -> None:
    region = np.zeros((1, PX, PX), bool)
    region[0, 10:40, column : column + 16] = True  # upright, so that the square photo is wider
    clip = pasted_tracked(_source()[:1], region, _photo())
    assert _is_green(clip).any() and clip.shape == (1, PX, PX, 3)
