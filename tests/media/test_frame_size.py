import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.media.frame_size import MOST_CUT, auto_frame, cut_share
from refract.media.video_io import fit_frame

_SIDES = st.integers(64, 4096)


@pytest.mark.parametrize(
    ("clip", "area", "multiple", "frame"),
    [
        ((832, 480), 832 * 480, 16, (832, 480)),  # what fits stays
        ((720, 1280), 832 * 480, 16, (480, 832)),  # portrait
        ((1920, 1080), 832 * 480, 16, (832, 480)),
        ((720, 720), 832 * 480, 32, (608, 608)),
        ((96, 96), 96 * 96, 8, (96, 96)),
    ],
)
def test_frames_of_usual_clips(
    clip: tuple[int, int], area: int, multiple: int, frame: tuple[int, int]
) -> None:
    assert auto_frame(*clip, area, multiple)[:2] == frame


@given(_SIDES, _SIDES, st.integers(40, 400), st.sampled_from([8, 16, 32]))
def test_the_largest_frame_that_cuts_little(
    width: int, height: int, side: int, multiple: int
) -> None:
    frame = auto_frame(width, height, side * side, multiple)
    assert frame.width % multiple == frame.height % multiple == 0
    assert min(frame.width, frame.height) >= 32
    assert frame.width * frame.height <= side * side
    assert frame.cut == cut_share(width, height, frame.width, frame.height)
    for w in range(-(-32 // multiple) * multiple, side * side // 32 + 1, multiple):
        h = round(w * height / width / multiple) * multiple  # the other side that cuts least
        if h >= 32 and w * h <= side * side and frame.cut > MOST_CUT:
            assert cut_share(width, height, w, h) >= frame.cut
        elif h >= 32 and w * h <= side * side and cut_share(width, height, w, h) <= MOST_CUT:
            assert w * h <= frame.width * frame.height


@given(_SIDES, _SIDES, _SIDES, _SIDES)
def test_a_share_is_cut_of_one_axis_alone(width: int, height: int, w: int, h: int) -> None:
    share = cut_share(width, height, w, h)
    assert 0 <= share < 0.5 and share == cut_share(height, width, h, w)
    kept = [min(1.0, w / h * height / width), min(1.0, h / w * width / height)]
    assert 1 - 2 * share == pytest.approx(min(kept)) and max(kept) == 1


def test_the_share_is_what_is_cut() -> None:
    columns = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None], (50, 100, 3))
    seen = fit_frame(columns, 40, 40)[20, :, 0]  # of twice the width: a quarter off each side
    assert cut_share(100, 50, 40, 40) == 0.25
    assert abs(int(seen[0]) - 25) <= 1 and abs(int(seen[-1]) - 74) <= 1


def test_an_area_without_room() -> None:
    with pytest.raises(ValueError, match="no frame of 32 x 32 pixels within 1000"):
        auto_frame(640, 480, 1000, 16)
