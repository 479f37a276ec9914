import numpy as np
import pytest

from refract.base.errors import InputError
from refract.media.image_reading import class_colours
from refract.media.segment_colours import CITYSCAPES, Segment, paint_segments, segment_palette

MANY = tuple(f"class {k}" for k in range(255))


def test_cityscapes_names_have_their_own_colours() -> None:
    palette = segment_palette(["Road", "traffic_light", "car"])
    assert palette.colours.tolist() == [[128, 64, 128], [250, 170, 30], [0, 0, 142]]
    assert palette.things == (False, False, True)


def test_other_names_are_coloured_as_label_files_are() -> None:
    palette = segment_palette(["road", "cat"])
    assert palette.colours.tolist() == [[128, 0, 0], [0, 128, 0]]
    assert palette.colours.tolist() == class_colours()[1:3].tolist()
    with pytest.raises(InputError, match="256 classes, there are colours for 255"):
        segment_palette([*MANY, "one more"])


def test_instances_differ_and_stuff_does_not() -> None:
    ids = np.array([[1, 1, 2], [3, 4, 0]])
    segments = [Segment(1, 0), Segment(2, 1), Segment(3, 1), Segment(4, 0)]
    painted = paint_segments(ids, segments, segment_palette(["road", "car"]))
    assert painted.shape == (2, 3, 3) and painted.dtype == np.uint8
    road, first, second = painted[0, 0], painted[0, 2], painted[1, 0]
    assert np.array_equal(painted[1, 1], road)
    assert not np.array_equal(first, second) and np.abs(first.astype(int) - second).max() <= 12
    assert not painted[1, 2].any(), "unlabelled is black"


def test_nothing_found_is_black() -> None:
    ids = np.full((4, 5), -1.0).astype(np.int64)  # as transformers reports it
    assert not paint_segments(ids, [], segment_palette(["road"])).any()


@pytest.mark.parametrize("names", [tuple(CITYSCAPES), MANY])
def test_the_nearest_class_colour_of_a_shade_is_its_class(names: tuple[str, ...]) -> None:
    palette = segment_palette(names)
    table = np.vstack([np.zeros((1, 3)), palette.colours])  # with unlabelled
    ids = np.arange(1, 13)[None]
    for label in range(len(names)):
        painted = paint_segments(ids, [Segment(k, label) for k in range(1, 13)], palette)
        distance = ((painted[0, :, None].astype(float) - table) ** 2).sum(axis=-1)
        assert (distance.argmin(axis=1) == label + 1).all(), names[label]
