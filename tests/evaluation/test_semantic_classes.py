import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.base.errors import InputError
from refract.evaluation.infrared.semantic_classes import find_classes, load_palette
from refract.media.class_palette import MSRS_PALETTE
from refract.media.image_reading import class_colours
from refract.media.segment_colours import CITYSCAPES, Segment, paint_segments, segment_palette


def _map_of(colours: list[tuple[int, int, int]]) -> np.ndarray:
    return np.array(colours, np.uint8)[None].repeat(4, 0)  # one column a colour


@given(st.lists(st.integers(0, 8), min_size=1, max_size=12))
def test_a_data_sets_palette_gives_each_class_its_name(ids: list[int]) -> None:
    colours = class_colours()[np.array([ids])]
    classes = find_classes([colours], MSRS_PALETTE.as_dict())
    found = [classes.names[place] for place in classes.index(colours)[0]]
    assert found == [MSRS_PALETTE.names[i] for i in ids]
    assert set(classes.names) == set(found), "only classes that occur"


@given(st.lists(st.integers(0, 18), min_size=1, max_size=30))
def test_shaded_instances_of_a_segmenter_are_of_their_class(labels: list[int]) -> None:
    names = list(CITYSCAPES)
    ids = np.arange(len(labels))[None]
    segments = [Segment(i, label) for i, label in enumerate(labels)]
    painted = paint_segments(ids, segments, segment_palette(names))
    classes = find_classes([painted])
    assert [classes.names[k] for k in classes.index(painted)[0]] == [names[i] for i in labels]
    assert "Cityscapes" in classes.about


def test_unknown_colours_that_lie_together_are_one_class() -> None:
    shades = [(200 + s, 10, 80 - s) for s in (-12, -5, 0, 0, 9)]
    classes = find_classes([_map_of([*shades, (10, 250, 200)])])
    assert classes.names == ("#0afac8", "#c80a50"), "named after the commonest colour"
    assert classes.index(_map_of([*shades, (10, 250, 200)]))[0].tolist() == [1] * 5 + [0]


def test_a_colour_the_maps_do_not_hold_is_of_no_class() -> None:
    classes = find_classes([_map_of([(200, 10, 80)])])
    assert classes.index(_map_of([(0, 0, 0)])).tolist() == [[-1]] * 4


def test_the_palette_is_read_from_the_data_set(tmp_path: Path) -> None:
    assert load_palette(tmp_path) is None, "triptychs of one's own have no info.json"
    (tmp_path / "info.json").write_text(json.dumps({"semantic_source": "none"}))
    assert load_palette(tmp_path) is None
    palette = MSRS_PALETTE.as_dict()
    (tmp_path / "info.json").write_text(json.dumps({"semantic_palette": palette}))
    assert load_palette(tmp_path) == palette


@pytest.mark.parametrize("colour", [[1, 2], [1, 2, 256], "red", None])
def test_a_palette_without_colours_is_one_error(tmp_path: Path, colour: object) -> None:
    (tmp_path / "info.json").write_text(json.dumps({"semantic_palette": {"car": colour}}))
    with pytest.raises(InputError, match=r"semantic_palette must map class names to \[r, g, b\]"):
        load_palette(tmp_path)
