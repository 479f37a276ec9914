import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.evaluation.measures.geometric_drift import (
    FURTHEST,
    SceneGeometry,
    edges,
    geometry_scores,
    scene_geometry,
    shift,
)
from refract.evaluation.measures.image import to_unit
from tests.tiny.street_pictures import street_scene, with_moved_vehicles

SIDE = 96
SCENES = [street_scene(seed, SIDE) for seed in range(4)]


def _truth(place: int) -> np.ndarray:
    return to_unit(SCENES[place].infrared)


def _geometry(place: int) -> SceneGeometry:
    return scene_geometry(to_unit(SCENES[place].visible[..., 0]), _truth(place))


GEOMETRY = [_geometry(place) for place in range(len(SCENES))]
PLACES = range(len(SCENES))


@pytest.mark.parametrize("place", PLACES)
def test_the_truth_has_no_drift_and_all_its_edges(place: int) -> None:
    scores = geometry_scores(_truth(place), GEOMETRY[place])
    assert scores == {"drift_px": 0.0, "edge_f1": 1.0, "edge_alignment": 1.0}


@given(st.sampled_from(PLACES), st.integers(-8, 8), st.integers(-8, 8))
def test_drift_grows_by_the_shift(place: int, down: int, right: int) -> None:
    moved = np.roll(_truth(place), (down, right), (0, 1))
    expected = min(np.hypot(down, right), FURTHEST * SIDE)
    assert geometry_scores(moved, GEOMETRY[place])["drift_px"] == pytest.approx(expected, abs=0.4)


@given(st.integers(-6, 6), st.integers(-6, 6))
def test_a_shift_is_found_with_its_sign(down: int, right: int) -> None:
    picture = np.random.default_rng(0).random((40, 40))
    found = shift(picture, np.roll(picture, (down, right), (0, 1)))
    assert found is not None and found.tolist() == pytest.approx([down, right])


@pytest.mark.parametrize("place", PLACES)
def test_a_shifted_picture_loses_its_edges_beyond_the_tolerance(place: int) -> None:
    values = [
        geometry_scores(np.roll(_truth(place), px, 1), GEOMETRY[place])["edge_f1"]
        for px in (1, 3, 6)
    ]
    assert values[0] > 0.95, "within the tolerance"
    assert 0.9 > values[1] > values[2]


@pytest.mark.parametrize("place", PLACES)
def test_moved_vehicles_are_caught_though_the_scene_stands(place: int) -> None:
    moved = to_unit(with_moved_vehicles(SCENES[place], 6))
    assert geometry_scores(moved, GEOMETRY[place])["edge_f1"] < 0.9


@pytest.mark.parametrize("place", PLACES)
def test_levels_contrast_and_polarity_do_not_count(place: int) -> None:
    for picture in (1 - _truth(place), 0.3 * _truth(place) + 0.2):
        scores = geometry_scores(picture, GEOMETRY[place])
        assert scores["drift_px"] < 0.25
        assert scores["edge_f1"] > 0.99


@pytest.mark.parametrize("place", PLACES)
def test_a_picture_of_something_else_scores_low(place: int) -> None:
    other = geometry_scores(_truth((place + 1) % len(SCENES)), GEOMETRY[place])
    assert other["edge_f1"] < 0.7
    noise = np.random.default_rng(place).random((SIDE, SIDE))
    scores = geometry_scores(noise, GEOMETRY[place])
    assert scores["edge_f1"] < 0.5
    assert scores["edge_alignment"] < 0.8


@pytest.mark.parametrize("place", PLACES)
def test_a_blank_picture_is_as_far_as_can_be(place: int) -> None:
    blank = np.full((SIDE, SIDE), _truth(place).mean())
    scores = geometry_scores(blank, GEOMETRY[place])
    assert scores == {"drift_px": FURTHEST * SIDE, "edge_f1": 0.0, "edge_alignment": 0.0}


def test_a_copy_of_the_visible_picture_is_above_one_not_best() -> None:
    copies = [to_unit(scene.visible[..., 0]) for scene in SCENES]
    scores = [geometry_scores(*pair) for pair in zip(copies, GEOMETRY, strict=True)]
    assert min(score["edge_alignment"] for score in scores) > 1
    assert np.mean([score["edge_alignment"] for score in scores]) > 1.1
    assert max(score["edge_f1"] for score in scores) < 1


def test_a_visible_picture_that_shows_nothing_gives_no_drift() -> None:
    scores = geometry_scores(_truth(0), scene_geometry(np.zeros((SIDE, SIDE)), _truth(0)))
    assert np.isnan(scores["drift_px"]) and np.isnan(scores["edge_alignment"])
    assert scores["edge_f1"] == 1.0
    unrelated = np.random.default_rng(1).random((SIDE, SIDE))
    assert np.isnan(geometry_scores(_truth(0), scene_geometry(unrelated, _truth(0)))["drift_px"])


def test_a_truth_without_edges_gives_no_edge_score() -> None:
    blank = np.full((SIDE, SIDE), 0.5)
    scores = geometry_scores(_truth(0), scene_geometry(_truth(0), blank))
    assert all(np.isnan(value) for value in scores.values())


def test_rounding_errors_are_no_edges() -> None:
    assert not edges(np.full((32, 32), 1 / 3)).any()
    assert shift(np.full((32, 32), 1 / 3), np.eye(32)) is None
