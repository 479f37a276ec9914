import numpy as np

from refract.attention_maps import TokenBox
from refract.attention_overlay import draw_overlay

GREEN = np.full((64, 64, 3), (0, 200, 0), np.uint8)
CORNER = TokenBox(left=3, top=3, right=4, bottom=4)


def test_heat_hides_the_map_where_it_is_and_leaves_it_dimmed_elsewhere() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 2], heat[1, 0] = 0.4, 0.2
    picture = draw_overlay(GREEN, heat, CORNER)
    assert picture.shape == GREEN.shape and picture.dtype == np.uint8
    assert (picture[:16, 32:48] == 255).all(), "the hottest token is white whatever its share"
    assert (picture[16:32, :16] == (128, 178, 0)).all(), "half as hot: yellow over half the map"
    assert (picture[32:48, 16:48] == (0, 100, 0)).all()


def test_the_region_is_outlined() -> None:
    picture = draw_overlay(GREEN, np.eye(4, dtype=np.float32), TokenBox(0, 1, 2, 4))
    cyan = (picture == (0, 255, 255)).all(-1)
    rows, columns = np.nonzero(cyan)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 63, 0, 31)
    assert not cyan[20:60, 4:28].any()


def test_without_any_heat_there_is_the_map() -> None:
    picture = draw_overlay(GREEN, np.zeros((4, 4), np.float32), CORNER)
    assert (picture[:48, :48] == (0, 100, 0)).all()
