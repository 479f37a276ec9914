import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from refract.base.errors import InputError
from refract.evaluation.measures.optical_flow import MIN_SIDE, frame_flows, occlusions, warp

EDGE = 8  # px where the pattern enters and leaves the frame
ROOM = 24  # px of pattern around the frame, for it to move in
SHIFTS = st.tuples(st.integers(-3, 3), st.integers(-3, 3))


def _texture(height: int, width: int) -> NDArray[np.uint8]:
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(height, width, 3)), (1.5, 1.5, 0))
    return (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


def _pan(shift: tuple[int, int], height: int, width: int, count: int = 2) -> NDArray[np.uint8]:
    """A pattern that moves by `shift` (x, y) px a frame."""
    pattern = _texture(height + 2 * ROOM, width + 2 * ROOM)
    corners = [(ROOM - shift[1] * t, ROOM - shift[0] * t) for t in range(count)]
    return np.stack([pattern[y : y + height, x : x + width] for y, x in corners])


@pytest.mark.parametrize(("height", "width"), [(96, 96), (64, 80), (47, 33)])
@settings(max_examples=10)
@given(shift=SHIFTS)
def test_the_flow_of_a_moving_pattern_is_its_shift(
    height: int, width: int, shift: tuple[int, int]
) -> None:
    flows = frame_flows(_pan(shift, height, width))
    assert flows.shape == (1, height, width, 2)
    assert flows.dtype == np.float32
    assert np.abs(flows[0, EDGE:-EDGE, EDGE:-EDGE] - shift).max() < 0.25


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 96), (96, 16), (17, 45), (31, 23)])
def test_small_frames_have_flow_too(height: int, width: int) -> None:
    flows = frame_flows(_pan((1, 0), height, width))
    assert np.abs(flows[0, 4:-4, 4:-4] - (1, 0)).max() < 0.25


def test_what_does_not_move_has_no_flow() -> None:
    assert not frame_flows(np.repeat(_texture(40, 56)[None], 3, axis=0)).any()


def test_a_single_frame_has_no_flows() -> None:
    assert frame_flows(_texture(20, 24)[None]).shape == (0, 20, 24, 2)


def test_a_clip_reversed_flows_back() -> None:
    clip = _pan((2, -1), 64, 64, count=3)
    back = frame_flows(clip[::-1])[::-1]
    assert np.abs(back[:, EDGE:-EDGE, EDGE:-EDGE] + (2, -1)).max() < 0.25


def test_the_flow_does_not_depend_on_threads_or_earlier_calls() -> None:
    clip = _pan((2, 1), 64, 96, count=4)
    first, before = frame_flows(clip), cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        frame_flows(_pan((1, 1), 32, 32))
        np.testing.assert_array_equal(frame_flows(clip), first)
        np.testing.assert_array_equal(frame_flows(clip[2:])[0], first[2])
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (np.zeros((2, MIN_SIDE - 1, 64, 3), np.uint8), "64 x 15 px are too small.*16 px"),
        (np.zeros((2, 32, 32, 3), np.float32), "float32"),
        (np.zeros((2, 32, 32), np.uint8), r"\(2, 32, 32\)"),
    ],
)
def test_other_clips_are_refused(clip: NDArray[np.uint8], words: str) -> None:
    with pytest.raises(InputError, match=words):
        frame_flows(clip)


@given(shift=SHIFTS)
def test_warping_by_the_shift_recovers_the_frame(shift: tuple[int, int]) -> None:
    now, following = _pan(shift, 24, 31)
    seen, inside = warp(following, np.full((24, 31, 2), shift, np.float32))
    np.testing.assert_array_equal(seen[inside], now[inside])
    assert inside.sum() == (24 - abs(shift[1])) * (31 - abs(shift[0]))


def test_warping_is_linear_between_pixels() -> None:
    ramp = np.tile(np.arange(20.0), (12, 1))
    seen, inside = warp(ramp, np.full((12, 20, 2), (0.37, -0.5), np.float32))
    assert inside[1:, :-1].all() and not inside[0].any() and not inside[:, -1].any()
    np.testing.assert_allclose(seen[inside], (ramp + 0.37)[inside], atol=1e-5)
    np.testing.assert_array_equal(seen[:, -1], 19)  # the border repeats


def test_a_frame_of_another_size_is_not_warped() -> None:
    with pytest.raises(InputError, match=r"\(12, 20\).*\(12, 21\)"):
        warp(np.zeros((12, 20)), np.zeros((12, 21, 2), np.float32))


def test_what_a_moving_square_hides_is_occluded() -> None:
    # It moves 5 px to the right over what stands still.
    forward, backward = np.zeros((2, 1, 40, 40, 2), np.float32)
    forward[0, 10:20, 10:20] = (5, 0)
    backward[0, 10:20, 15:25] = (-5, 0)
    expected = np.zeros((1, 40, 40), bool)
    expected[0, 10:20, 20:25] = True
    np.testing.assert_array_equal(occlusions(forward, backward), expected)


def test_what_leaves_the_frame_is_occluded() -> None:
    clip = _pan((3, 0), 48, 48)
    hidden = occlusions(frame_flows(clip), frame_flows(clip[::-1])[::-1])[0]
    assert hidden[EDGE:-EDGE, -2:].all()
    assert not hidden[EDGE:-EDGE, EDGE : -EDGE - 3].any()


def test_occlusions_need_flows_of_one_shape() -> None:
    with pytest.raises(InputError, match="one shape"):
        occlusions(np.zeros((1, 20, 20, 2), np.float32), np.zeros((2, 20, 20, 2), np.float32))
