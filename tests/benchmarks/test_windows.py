"""The figures of the window benchmarks, on clips and plans known by hand."""

import numpy as np
import pytest

from backbones.video.edit_pairs import draw_recolouring
from backbones.worlds.tabletop import FRAMES, swing
from benchmarks.window_cost import arithmetic
from benchmarks.window_plans import DIVISIONS
from benchmarks.windows import Variant, at_over_elsewhere, borders, measure
from refract.editing.samplers.windows import Windowed, plan_windows


@pytest.mark.parametrize("length", [5, 6, 11, 18])
@pytest.mark.parametrize("name", DIVISIONS)
def test_every_division_covers_the_clip_with_weights_that_sum_to_1(name: str, length: int) -> None:
    total = np.zeros(length)
    for window in DIVISIONS[name].plan(length):
        total[window.start : window.stop] += window.weights
    assert total == pytest.approx(np.ones(length))


def test_the_default_of_the_benchmark_is_the_pipelines() -> None:
    for one, other in zip(
        DIVISIONS["anchor, overlap 2"].plan(18), plan_windows(18, 5, 2), strict=True
    ):
        assert one[:2] == other[:2] and one.weights == pytest.approx(other.weights)


def test_a_jump_at_a_border_is_a_seam() -> None:
    variant = Variant(25, "anchor, overlap 2")  # latents 0-4, and 3-6 behind the anchor
    places = borders(variant)
    assert places == [8, 16]  # before frame 9, the first of latent 3, and 17, that of latent 5
    steady = {"changes": [2.0] * 24}
    jumps = {"changes": [6.0 if place in places else 2.0 for place in range(24)]}
    assert at_over_elsewhere([steady], places) == 1
    assert at_over_elsewhere([steady, jumps], places) == 2


def test_the_truth_is_without_error_and_the_source_is_not() -> None:
    pair = draw_recolouring(2, 0, swing(21))
    truth, source = (measure(pair, clip) for clip in (pair.truth, pair.video))
    assert truth["error"] == [0, 0] and min(source["error"]) > 30
    assert min(truth["fidelity"]) > max(source["fidelity"]) + 0.3
    assert max(source["changes"]) == 0 < min(truth["changes"])


def test_a_swing_starts_at_rest_and_returns() -> None:
    frames = swing(52, period=51)
    assert frames[0] == frames[51] == 0 and max(frames) == pytest.approx(FRAMES - 1, abs=0.05)
    assert 0.9 < np.diff(frames).max() < 1.1, "as fast as a clip of its own length"


def test_windows_save_operations_where_attention_is_most_of_them() -> None:
    assert arithmetic(21, Windowed(21, 4)) == 1
    assert arithmetic(64, Windowed(21, 4)) < 0.7
