import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from refract.media.panel_pixels import crop_border, has_white_border

PX = 20


def framed(*channels: int) -> NDArray[np.uint8]:
    inside = np.random.default_rng(0).integers(0, 200, (60, 80, *channels), np.uint8)
    margins = [(PX, PX), (PX, PX)] + [(0, 0)] * len(channels)
    return np.pad(inside, margins, constant_values=255)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_cropping_undoes_framing(channels: tuple[int, ...]) -> None:
    picture = framed(*channels)
    assert has_white_border(picture, PX)
    inside = crop_border(picture, PX)
    assert inside.shape == (60, 80, *channels)
    assert np.array_equal(inside, picture[PX:-PX, PX:-PX])
    assert not has_white_border(inside, PX)


def test_jpeg_does_not_hide_it() -> None:
    buffer = io.BytesIO()
    Image.fromarray(framed(3)).save(buffer, "JPEG", quality=75)
    assert has_white_border(np.asarray(Image.open(buffer)), PX)


def test_other_borders_are_left() -> None:
    assert not has_white_border(framed(3), 2 * PX - 1)  # half of that margin is picture
    assert not has_white_border(framed(3), 50)  # nothing would stay
    assert not has_white_border(255 - framed(3), PX)
