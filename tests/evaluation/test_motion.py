import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from refract.base.errors import InputError
from refract.evaluation.measures.motion import (
    ROUNDING_ERROR,
    relative_warp_error,
    temporal_flickering,
    track_fidelity,
    warp_errors,
)
from refract.evaluation.measures.optical_flow import frame_flows, occlusions

T, PX, SIDE, STEP = 7, 64, 28, 3


def _texture(seed: int, low: int, high: int) -> NDArray[np.uint8]:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(96, 96, 3)), (1.5, 1.5, 0))
    return (low + (high - low) * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


def _scene(product: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A textured square that moves over a textured wall, `[T, PX, PX, 3]`."""
    clip = np.repeat(_texture(0, 60, 160)[None, :PX, :PX], T, axis=0)
    for t in range(T):
        clip[t, 18 : 18 + SIDE, 8 + STEP * t : 8 + STEP * t + SIDE] = product[:SIDE, :SIDE]
    return clip


class Source(NamedTuple):
    clip: NDArray[np.uint8]
    flows: NDArray[np.float32]
    occluded: NDArray[np.bool_]

    def relative_error(self, clip: NDArray[np.uint8]) -> float:
        own = warp_errors(self.clip, self.flows, self.occluded)
        return relative_warp_error(warp_errors(clip, self.flows, self.occluded), own)

    def fidelity(self, clip: NDArray[np.uint8]) -> float:
        return track_fidelity(frame_flows(clip), self.flows)


@pytest.fixture(scope="module")
def source() -> Source:
    clip = _scene(_texture(1, 0, 250))
    flows = frame_flows(clip)
    return Source(clip, flows, occlusions(flows, frame_flows(clip[::-1])[::-1]))


def _steady(x: float, y: float, count: int = 4) -> NDArray[np.float32]:
    return np.full((count, 32, 40, 2), (x, y), np.float32)


def _shuffled(clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return clip[[3, 0, 5, 1, 6, 2, 4]]


def _flickering(clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    gain = np.where(np.arange(len(clip)) % 2, 0.85, 1.0)[:, None, None, None]
    return (clip * gain).astype(np.uint8)


# --- warp error ---


def test_the_source_has_its_own_warp_error(source: Source) -> None:
    assert source.relative_error(source.clip) == 1.0


def test_another_product_that_moves_alike_has_about_the_sources_error(source: Source) -> None:
    assert 0.5 < source.relative_error(_scene(_texture(2, 20, 240))) < 2


@pytest.mark.parametrize("way", ["frozen", "reversed", "shuffled", "flickering"])
def test_cheats_have_a_bad_warp_error(source: Source, way: str) -> None:
    cheats = {
        "frozen": np.repeat(source.clip[:1], T, axis=0),
        "reversed": source.clip[::-1],
        "shuffled": _shuffled(source.clip),
        "flickering": _flickering(source.clip),
    }
    assert source.relative_error(cheats[way]) > 4


def test_a_flat_clip_hides_from_the_warp_error(source: Source) -> None:
    """Why it is never read alone."""
    assert source.relative_error(np.full_like(source.clip, 128)) < 0.1


@given(first=st.integers(0, 255), second=st.integers(0, 255))
def test_the_warp_error_is_a_mean_square_of_visible_pixels(first: int, second: int) -> None:
    clip = np.full((2, 16, 20, 3), first, np.uint8)
    clip[1] = second
    hidden = np.zeros((1, 16, 20), bool)
    hidden[0, :5] = True
    clip[0, :5] = 77  # out of sight, so of no account
    (error,) = warp_errors(clip, np.ones((1, 16, 20, 2), np.float32), hidden)
    assert error == pytest.approx(((first - second) / 255) ** 2, rel=1e-5)


def test_a_pair_without_a_visible_pixel_has_no_warp_error() -> None:
    clip, flows = np.zeros((3, 16, 16, 3), np.uint8), np.zeros((2, 16, 16, 2), np.float32)
    hidden = np.zeros((2, 16, 16), bool)
    hidden[0] = True
    errors = warp_errors(clip, flows, hidden)
    assert math.isnan(errors[0]) and errors[1] == 0
    assert relative_warp_error(errors, errors) == 1.0
    assert math.isnan(relative_warp_error(errors[:1], errors[:1]))


def test_a_single_frame_has_no_warp_error() -> None:
    frame = np.zeros((1, 16, 16, 3), np.uint8)
    assert warp_errors(frame, frame_flows(frame), np.zeros((0, 16, 16), bool)) == []
    assert math.isnan(relative_warp_error([], []))


def test_a_still_source_does_not_make_every_error_infinite() -> None:
    assert relative_warp_error([ROUNDING_ERROR / 2], [0.0]) == 1.0
    assert relative_warp_error([5 * ROUNDING_ERROR], [0.0]) == pytest.approx(5)


def test_warp_errors_need_fitting_shapes() -> None:
    clip, hidden = np.zeros((3, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), bool)
    with pytest.raises(InputError, match=r"\(3, 16, 16, 3\).*\(3, 16, 16, 2\)"):
        warp_errors(clip, np.zeros((3, 16, 16, 2), np.float32), hidden)
    with pytest.raises(InputError, match="2 pairs of frames against 1"):
        relative_warp_error([1.0, 2.0], [1.0])


# --- track fidelity ---

ANGLES = st.floats(-math.pi, math.pi)


@given(angle=ANGLES, other=ANGLES, speed=st.floats(0.5, 3))
def test_steady_motions_agree_by_the_cosine_between_them(
    angle: float, other: float, speed: float
) -> None:
    one = _steady(math.cos(angle), math.sin(angle))
    two = _steady(speed * math.cos(other), speed * math.sin(other))
    assert track_fidelity(one, two) == pytest.approx(math.cos(angle - other), abs=1e-4)


@given(seed=st.integers(0, 2**32 - 1))
def test_fidelity_is_symmetric_and_bounded_and_1_to_itself(seed: int) -> None:
    one, two = np.random.default_rng(seed).normal(size=(2, 3, 32, 40, 2)).astype(np.float32)
    score = track_fidelity(one, two)
    assert -1 <= score <= 1
    assert score == pytest.approx(track_fidelity(two, one), abs=1e-12)
    assert track_fidelity(one, one) == pytest.approx(1)
    assert track_fidelity(one, two, reach=math.inf) >= score  # more partners to choose from


def test_a_frozen_clip_is_not_faithful_and_a_still_source_asks_for_nothing(source: Source) -> None:
    frozen = np.repeat(source.clip[:1], T, axis=0)
    assert source.fidelity(frozen) == 0.0
    assert math.isnan(track_fidelity(source.flows, frame_flows(frozen)))


def test_motion_for_half_of_the_time_is_half_as_faithful() -> None:
    halting = _steady(2, 1)
    halting[::2] = 0
    assert track_fidelity(halting, _steady(2, 1)) == pytest.approx(0.5)
    assert track_fidelity(halting, halting) == pytest.approx(1)


def test_another_product_that_moves_alike_is_faithful(source: Source) -> None:
    assert source.fidelity(source.clip) == pytest.approx(1)
    assert source.fidelity(_scene(_texture(2, 20, 240))) > 0.85
    assert source.fidelity(_flickering(source.clip)) > 0.85  # a matter for the warp error


def test_reversed_and_shuffled_frames_are_not_faithful(source: Source) -> None:
    assert source.fidelity(source.clip[::-1].copy()) < -0.3
    assert source.fidelity(_shuffled(source.clip)) < 0.6  # every other step goes the right way


def test_partners_are_sought_nearby() -> None:
    """A bit that moves the right way at the other end of the frame serves no pan."""
    source, clip = _steady(0, 2), _steady(0, -2)
    source[:, :, :6] = (0, -2)
    clip[:, :, :6] = (0, 2)
    assert track_fidelity(clip, source, reach=math.inf) == pytest.approx(1)
    assert track_fidelity(clip, source) < -0.5


def test_a_product_that_stands_still_in_a_pan_is_missed() -> None:
    clip = _steady(2, 0)
    clip[:, 8:24, 10:30] = 0
    assert 0.5 < track_fidelity(clip, _steady(2, 0)) < 0.95


def test_track_fidelity_needs_flows_of_one_shape() -> None:
    with pytest.raises(InputError, match="one shape"):
        track_fidelity(_steady(1, 0, 3), _steady(1, 0, 4))


def test_a_single_frame_has_no_fidelity() -> None:
    assert math.isnan(track_fidelity(_steady(1, 0, 0), _steady(1, 0, 0)))


# --- flickering and amount of motion ---


def test_temporal_flickering_is_vbenchs() -> None:
    clip = np.zeros((3, 4, 4, 3), np.uint8)
    clip[1] = 255
    assert temporal_flickering(clip) == 0.0
    clip[1] = 51
    assert temporal_flickering(clip) == pytest.approx(0.8)
    assert math.isnan(temporal_flickering(clip[:1]))


def test_a_frozen_video_is_perfect_by_flickering_alone(source: Source) -> None:
    frozen = temporal_flickering(np.repeat(source.clip[:1], T, axis=0))
    own, flickering = (temporal_flickering(c) for c in (source.clip, _flickering(source.clip)))
    assert frozen == 1.0 > own > flickering


def test_the_measures_are_deterministic(source: Source) -> None:
    other = _scene(_texture(2, 20, 240))
    assert source.fidelity(other) == source.fidelity(other)
    assert source.relative_error(other) == source.relative_error(other)
