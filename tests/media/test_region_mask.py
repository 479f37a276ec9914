from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from refract.base.errors import InputError
from refract.media.region_mask import read_region, soften
from refract.media.video_io import Clip, write_clip
from tests.tiny.clips import ffmpeg


def boxes(count: int) -> np.ndarray:
    """Masks [F, 48, 64]: the n-th has a white box of columns 4 n to 4 n + 7."""
    masks = np.zeros((count, 48, 64), np.uint8)
    for place, mask in enumerate(masks):
        mask[8:40, 4 * place : 4 * place + 8] = 255
    return masks


def _folder(place: Path, masks: np.ndarray) -> Path:
    place.mkdir()
    for number, mask in enumerate(masks):
        Image.fromarray(mask).save(place / f"{number:03d}.png")
    return place


def _clip(path: Path, masks: np.ndarray) -> Path:
    write_clip(path, Clip(np.repeat(masks[..., None], 3, -1), 10.0), "lossless")
    return path


def test_a_folder_and_a_clip_tell_each_frame(tmp_path: Path) -> None:
    for path in (_folder(tmp_path / "masks", boxes(9)), _clip(tmp_path / "masks.mkv", boxes(9))):
        region = np.stack(list(read_region(path, 3, 5, (64, 48))))
        assert region.dtype == bool and np.array_equal(region, boxes(9)[3:8] > 0)


def test_one_picture_holds_for_all_frames(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(boxes(1)[0]).save(path)
    region = list(read_region(path, 40, 3, (64, 48)))
    assert len(region) == 3 and all(np.array_equal(mask, boxes(1)[0] > 0) for mask in region)


def test_a_clip_is_resampled_as_its_template(tmp_path: Path) -> None:
    path = _clip(tmp_path / "masks.mkv", boxes(9))
    region = np.stack(list(read_region(path, 1, 3, (64, 48), fps=5)))
    assert np.array_equal(region, boxes(9)[[2, 4, 6]] > 0)


def test_it_is_cropped_like_the_edit_or_stretched(tmp_path: Path) -> None:
    mask = np.zeros((40, 80), np.uint8)
    mask[:, 20:60] = 255  # the square in the middle
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (cropped,) = read_region(tmp_path / "mask.png", 0, 1, (20, 20))
    (stretched,) = read_region(tmp_path / "mask.png", 0, 1, (20, 20), stretch=True)
    assert cropped.all() and stretched[:, 5:15].all() and stretched.sum() == 200


def test_bad_regions(tmp_path: Path) -> None:
    black = np.zeros((3, 48, 64), np.uint8)
    (tmp_path / "text.mkv").write_text("no mask")
    (tmp_path / "text.png").write_text("no mask")
    for path, message in (
        (_clip(tmp_path / "short.mkv", boxes(3)), "has 3 frames; 4 are needed"),
        (_folder(tmp_path / "short", boxes(3)), "3 masks; 4 are needed"),
        (ffmpeg(tmp_path / "black.mkv", "-c:v", "ffv1", form="gray 64x48",
                frames=np.concatenate([black, black])), "nothing is white in frames 1 to 3"),
        (tmp_path / "absent.mkv", "no such file"), (tmp_path / "absent.png", "not a readable"),
        (tmp_path / "text.mkv", "cannot be decoded"), (tmp_path / "text.png", "not a readable"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            list(read_region(path, 1, 3, (64, 48)))


@given(arrays(bool, (24, 32)), st.floats(0, 9), st.floats(0, 6))
def test_softened_it_is_one_inside_and_falls_off(
    region: np.ndarray, grow_px: float, fade_px: float
) -> None:
    weights = soften(region, grow_px, fade_px)
    assert weights.min() >= 0 and weights.max() <= 1 and (weights[region] == 1).all()
    assert region.any() or not weights.any()
    assert (soften(region, 0, 0) == region).all()


def test_a_soft_edge_falls_once_and_ends() -> None:
    region = np.zeros((9, 60), bool)
    region[:, :10] = True
    row = soften(region, 5, 20)[4]
    assert (row[:15] == 1).all() and (row[34:] == 0).all()
    assert (np.diff(row[14:35]) < 0).all() and row[24] == pytest.approx(0.5)
