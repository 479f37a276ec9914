import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refract.media.panel_pixels import percentile_range, same_aspect, square_panel, to_eight_bits


@given(height=st.integers(8, 60), width=st.integers(8, 60))
def test_panels_are_square_and_centred(height: int, width: int) -> None:
    columns = np.broadcast_to(np.arange(width, dtype=np.uint8), (height, width))
    panel = square_panel(np.ascontiguousarray(columns), 16)
    assert panel.shape == (16, 16)
    assert abs(panel.mean() - (width - 1) / 2) < 1  # the middle stays in the middle


def test_maps_get_no_new_colours() -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 100, 200], np.uint8), (50, 70))
    assert set(np.unique(square_panel(labels, 32, labels=True))) <= {0, 100, 200}
    assert len(np.unique(square_panel(labels, 32))) > 3  # a photograph is smoothed


def test_a_panel_of_the_right_side_is_untouched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert np.array_equal(square_panel(pixels, 16), pixels)


def test_sixteen_bits_are_mapped_linearly() -> None:
    values = np.array([900, 1000, 1500, 2000, 2100], np.uint16)
    assert to_eight_bits(values, 1000, 2000).tolist() == [0, 0, 128, 255, 255]


def test_the_range_leaves_out_stray_pixels() -> None:
    counts = np.zeros(65536, np.int64)
    counts[1000:2000] = 100
    counts[0] = counts[65535] = 5
    assert percentile_range(counts) == (1000, 1999)


def test_a_constant_picture_has_a_range() -> None:
    counts = np.zeros(65536, np.int64)
    counts[7] = 10
    low, high = percentile_range(counts)
    assert to_eight_bits(np.array([7], np.uint16), low, high).tolist() == [0]


def test_aspects() -> None:
    assert same_aspect((100, 200), (50, 101))
    assert not same_aspect((100, 200), (100, 100, 3))
