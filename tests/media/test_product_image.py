import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.media.product_image import Foreground, load_product_image


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def packshot(height: int = 60, width: int = 100) -> np.ndarray:
    pixels = np.full((height, width, 3), (200, 210, 220), np.uint8)
    pixels[15:45, 10:40] = (180, 20, 30)
    return pixels


def test_letterboxes_the_whole_photo_in_its_own_colour(tmp_path: Path) -> None:
    image = load_product_image(save(tmp_path / "p.png", packshot()), 96, 96, "auto")
    assert image.pixels.shape == (96, 96, 3) and image.mask.shape == (96, 96)
    assert (image.pixels[0] == (200, 210, 220)).all(), "the band has the backdrop's colour"
    ys, xs = np.nonzero(image.mask)
    scale, top = 0.96, (96 - 58) // 2
    expected = (top + 15 * scale, top + 45 * scale, 10 * scale, 40 * scale)
    assert np.allclose((ys.min(), ys.max() + 1, xs.min(), xs.max() + 1), expected, atol=1.5)
    assert image.foreground == "auto: backdrop"


def test_a_photo_of_the_right_shape_is_not_resampled(tmp_path: Path) -> None:
    pixels = packshot(64, 96)
    image = load_product_image(save(tmp_path / "p.png", pixels), 64, 96, "all")
    assert np.array_equal(image.pixels, pixels)
    assert image.mask.all() and image.foreground == "all" and image.keeps_all


@pytest.mark.parametrize("foreground", ["all", "auto"])
def test_the_bands_of_a_whole_photo_are_not_in_its_mask(
    tmp_path: Path, foreground: Foreground
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3))
    image = load_product_image(save(tmp_path / "p.png", noise), 32, 96, foreground)
    assert image.keeps_all and image.mask[:, 32:64].all() and image.mask.sum() == 32 * 32


def test_transparency_is_a_mask_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[8:16, 8:24] = (10, 20, 30, 255)
    image = load_product_image(save(tmp_path / "p.png", pixels), 32, 32, "auto")
    assert image.foreground == "auto: transparency"
    assert image.mask.sum() == 8 * 16 and image.mask[8:16, 8:24].all()
    assert (image.pixels[0, 0] == 255).all() and tuple(image.pixels[8, 8]) == (10, 20, 30)


@pytest.mark.parametrize("foreground", ["auto", "mask", "all"])
@pytest.mark.parametrize("kind", ["RGBA", "faint", "LA", "P"])
def test_a_picture_that_shows_nothing_is_refused(
    tmp_path: Path, kind: str, foreground: Foreground
) -> None:
    pictures = {
        "RGBA": Image.new("RGBA", (32, 32), (200, 30, 40, 0)),
        "faint": Image.new("RGBA", (32, 32), (200, 30, 40, 127)),
        "LA": Image.new("LA", (32, 32), (40, 0)),
        "P": Image.new("L", (32, 32), 3).convert("P"),
    }
    path = tmp_path / "p.png"
    options: dict[str, Any] = {"transparency": 3} if kind == "P" else {}
    pictures[kind].save(path, **options)
    with pytest.raises(InputError, match=r"p\.png: transparent everywhere"):
        load_product_image(path, 32, 32, foreground, path)


@pytest.mark.parametrize("kind", ["LA", "P"])
def test_transparency_of_gray_and_palette_pictures_is_a_mask(tmp_path: Path, kind: str) -> None:
    levels = np.full((32, 32), 3, np.uint8)
    levels[8:16, 8:24] = 90
    picture = Image.fromarray(levels)
    if kind == "LA":
        picture.putalpha(Image.fromarray(np.where(levels == 90, 255, 0).astype(np.uint8)))
        picture.save(tmp_path / "p.png")
    else:
        picture.convert("P").save(tmp_path / "p.png", transparency=3)
    image = load_product_image(tmp_path / "p.png", 32, 32, "auto")
    assert image.foreground == "auto: transparency"
    assert image.mask.sum() == 8 * 16 and image.mask[8:16, 8:24].all()


def test_a_product_that_is_hardly_there_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A white box on white of which the logo alone is seen; the share is of the photo."""
    pixels = np.full((100, 100, 3), 255)
    pixels[45:55, 40:60] = (200, 30, 40)
    path = save(tmp_path / "p.png", pixels)
    with caplog.at_level(logging.WARNING):
        load_product_image(path, 96, 96, "auto")
    (message,) = caplog.messages
    assert message.startswith(f"{path}: only 2.0 % of the photo") and "target_image_mask" in message


def test_a_large_photo_is_as_its_small_copy(tmp_path: Path) -> None:
    """And so is its mask, of which the size is held against the photo's own."""
    large = packshot().repeat(15, 0).repeat(15, 1)  # 1500 x 900
    photo, mask = save(tmp_path / "p.png", large), np.zeros(large.shape[:2])
    mask[225:675, 150:600] = 255
    small = load_product_image(save(tmp_path / "s.png", packshot()), 96, 96, "auto")
    for image in (
        load_product_image(photo, 96, 96, "auto"),
        load_product_image(photo, 96, 96, "mask", save(tmp_path / "m.png", mask)),
    ):
        assert (image.mask != small.mask).mean() < 0.01
        assert np.abs(image.pixels.astype(int) - small.pixels).mean() < 1
    with pytest.raises(InputError, match=r"750 x 450 pixels, but .* has 1500 x 900"):
        load_product_image(photo, 96, 96, "mask", save(tmp_path / "h.png", mask[::2, ::2]))


def test_given_mask(tmp_path: Path) -> None:
    mask = np.zeros((60, 100), np.uint8)
    mask[:30] = 255
    image = load_product_image(
        save(tmp_path / "p.png", packshot()), 60, 100, "mask", save(tmp_path / "m.png", mask)
    )
    assert image.mask[:30].all() and not image.mask[30:].any()


def test_busy_photo_keeps_everything_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    with caplog.at_level(logging.WARNING):
        image = load_product_image(save(tmp_path / "p.png", noise), 64, 64, "auto")
    assert image.mask.all() and image.foreground == "all: no plain backdrop found"
    assert "no plain backdrop" in caplog.text


def test_gray_photo(tmp_path: Path) -> None:
    image = load_product_image(save(tmp_path / "p.png", packshot()[..., 0]), 32, 32, "auto")
    assert image.pixels.shape == (32, 32, 3)


def test_bad_photos(tmp_path: Path) -> None:
    good = save(tmp_path / "p.png", packshot())
    empty = tmp_path / "empty.png"
    empty.touch()
    text = tmp_path / "text.png"
    text.write_text("no picture")
    truncated = tmp_path / "cut.png"
    truncated.write_bytes(good.read_bytes()[:100])
    tiny = save(tmp_path / "tiny.png", np.zeros((3, 3, 3)))
    black = save(tmp_path / "black.png", np.zeros((60, 100)))
    other = save(tmp_path / "other.png", np.full((10, 10), 255))
    for photo, mode, mask, message in (
        (tmp_path / "absent.png", "auto", None, "absent.png"),
        (empty, "auto", None, "not a readable picture"),
        (text, "auto", None, "not a readable picture"),
        (truncated, "auto", None, "not a readable picture"),
        (tiny, "auto", None, "at least 8 a side"),
        (good, "mask", None, "needs the case's target_image_mask"),
        (good, "mask", black, "black everywhere"),
        (good, "mask", other, "10 x 10 pixels, but .* has 100 x 60"),
    ):
        with pytest.raises(InputError, match=message):
            load_product_image(photo, 96, 96, mode, mask)  # type: ignore[arg-type]
