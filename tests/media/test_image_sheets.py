from pathlib import Path

import numpy as np
from PIL import Image

from refract.media.image_sheets import GAP, LABEL_PX, draw_sheet, error_picture, spread


def test_error_is_white_where_right_red_above_and_blue_below() -> None:
    truth = np.full((1, 3), 100, np.uint8)
    shown = error_picture(np.array([[100, 200, 0]], np.uint8), truth)
    assert shown[0].tolist() == [[255, 255, 255], [255, 0, 0], [0, 0, 255]]


def test_cells_stand_where_their_titles_say(tmp_path: Path) -> None:
    green, gray = np.zeros((24, 24, 3), np.uint8), np.full((12, 12), 90, np.uint8)
    green[...] = (0, 200, 0)
    path = tmp_path / "sheet.png"
    draw_sheet(("one", "two"), [("first", [green, gray])], cell=(24, 24), path=path)
    sheet = np.asarray(Image.open(path))
    assert sheet.shape == (2 * LABEL_PX + 24 + 2 * GAP, 3 * GAP + 48, 3)
    top = 2 * LABEL_PX + GAP
    np.testing.assert_array_equal(sheet[top : top + 24, GAP : GAP + 24], green)
    assert (sheet[top : top + 24, 2 * GAP + 24 : 2 * GAP + 48] == 90).all()
    assert (sheet[:LABEL_PX] < 128).any()  # the titles are written


def test_equal_pictures_make_equal_bytes(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for name in ("a.png", "b.png"):
        draw_sheet(("x",), [("row", [picture])], cell=(16, 16), path=tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_spread_takes_both_ends_and_never_repeats() -> None:
    assert spread(48, 8)[0] == 0
    assert spread(48, 8)[-1] == 47
    assert len(spread(48, 8)) == 8
    assert spread(3, 8) == [0, 1, 2]
    assert spread(5, 1) == [0]
    assert spread(0, 4) == []
