"""Where edited pixels go: the place of an edit in its template's frame, and its region there."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from refract.editing.deliver.composing import blended, to_planes
from refract.editing.deliver.placing import Placement
from refract.editing.deliver.replaced_region import EditedShot, changed_regions
from refract.media.regions import grow
from refract.media.video_io import fit_frame, write_frames


def _slopes(width: int, height: int) -> np.ndarray:
    """Red rises with the column, green with the row: a pixel's colour says where it is."""
    columns, rows = np.meshgrid(np.linspace(20, 230, width), np.linspace(20, 230, height))
    return np.stack([columns, rows, np.full_like(rows, 99)], -1).round().astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(20, 90)] * 2), st.tuples(*[st.integers(1, 4)] * 2))
def test_a_pixel_goes_back_to_where_it_was_cut_from(
    halves: tuple[int, int], sixteens: tuple[int, int]
) -> None:
    """The template's size is even, the edit's a multiple of 16, their shapes anything."""
    frame, edit = (2 * halves[0], 2 * halves[1]), (16 * sixteens[0], 16 * sixteens[1])
    template = _slopes(*frame)
    placement = Placement.of(frame, edit)
    back = placement.back(fit_frame(template, *edit), Image.Resampling.LANCZOS)
    assert back.shape == template.shape
    inside = placement.inside(0) == 1
    # a pixel of the smaller picture is up to 210 / 16 levels of the slope
    step = 210 / min(*frame, *edit)
    assert np.abs(back.astype(int) - template)[inside].max() <= 1 + step
    assert np.abs(back.astype(int) - template)[inside].mean() <= 1
    assert inside.mean() == pytest.approx(
        edit[0] * edit[1] * placement.scale**2 / (frame[0] * frame[1]), abs=2 / min(frame)
    )


@pytest.mark.parametrize(
    ("colour", "samples"),  # by ITU-R BT.709
    [
        ((200, 40, 40), (80, 112, 198)),
        ((40, 160, 60), (125, 96, 79)),
        ((255, 255, 255), (235, 128, 128)),
        ((0, 0, 0), (16, 128, 128)),
    ],
)
def test_colours_are_of_bt709_in_limited_range(
    colour: tuple[int, ...], samples: tuple[int, ...]
) -> None:
    planes = to_planes(np.full((6, 10, 3), colour, np.uint8)).ravel()  # 6 rows: not a multiple of 4
    expected = np.repeat(samples, (60, 15, 15))
    assert np.abs(planes.astype(int) - expected).max() <= 1


def test_blending_is_exact_at_both_ends_and_linear_between() -> None:
    rng = np.random.default_rng(0)
    template, edit = rng.integers(0, 256, (2, 9, 8), np.uint8)
    whole = np.full((6, 8), 255, np.uint8)
    assert (blended(template, edit, whole * 0) == template).all()
    assert (blended(template, edit, whole) == edit).all()
    third = blended(template, edit, whole // 3).astype(float)
    assert np.abs(third - (2 * template.astype(float) + edit) / 3).max() <= 0.5


def _regions(folder: Path, source: np.ndarray, edit: np.ndarray) -> np.ndarray:
    shot = EditedShot(0, folder / "source.mkv", folder / "edit.mkv")
    for path, frames in ((shot.source, source), (shot.edit, edit)):
        write_frames(path, frames, 8, "lossless")
    return np.stack(list(changed_regions(shot)))


def test_the_region_holds_all_that_was_and_all_that_came(tmp_path: Path) -> None:
    """A bar becomes a box over half of it, a lamp goes on; an autoencoder's noise is no change."""
    noise = np.random.default_rng(0).normal(0, 1.5, (9, 130, 260, 3))
    source, edit = np.full((2, 9, 130, 260, 3), 120.0)
    changed = np.zeros((9, 130, 260), bool)
    for frame in range(9):
        old = (frame, slice(20, 30), slice(30 + 4 * frame, 70 + 4 * frame))
        new = (frame, slice(15, 60), slice(50 + 4 * frame, 80 + 4 * frame))
        lamp = (frame, slice(90, 110), slice(220, 240))
        source[old], edit[new], edit[lamp] = 200, 60, 180
        for place in (old, new, lamp):
            changed[place] = True
    edit[4, 120:124, 10:14] = 200  # a speck in one frame
    regions = _regions(
        tmp_path, source.astype(np.uint8), (edit + noise).clip(0, 255).astype(np.uint8)
    )
    assert regions[changed].all()
    near = np.stack([changed[max(place - 2, 0) : place + 3].any(0) for place in range(9)])
    assert not (regions & ~grow(near, 6)).any()  # px: smoothing, and cells of 2
    assert not regions[:, 118:, :40].any()


def test_an_edit_that_changed_nothing_has_no_region(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)
    assert not _regions(tmp_path, frames, frames).any()
