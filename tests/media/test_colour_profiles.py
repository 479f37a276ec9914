import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from refract.media.given_pictures import map_colours, photo_pixels
from refract.media.image_reading import (
    open_photo,
    read_gray,
    read_infrared,
    read_rgb,
    read_semantic,
)
from tests.media.icc import P3_COLUMNS, SRGB_COLUMNS, gray_profile, ink_profile, matrix_profile

P3 = matrix_profile(P3_COLUMNS)
STORED, SHOWN = (194, 52, 50), (210, 30, 40)  # a colour in Display P3, and the same in sRGB


def save(path: Path, image: Image.Image, profile: bytes) -> Path:
    image.save(path, icc_profile=profile)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_photo_in_display_p3_is_read_as_srgb(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (4, 4), STORED)
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    path = save(tmp_path / "a.png", image, P3)
    assert np.abs(read_rgb(path).astype(int) - SHOWN).max() <= 1
    with Image.open(path) as given:
        assert np.abs(photo_pixels(given).astype(int) - SHOWN).max() <= 1


def test_transparency_outlives_the_conversion(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (*STORED, 77))
    converted = open_photo(save(tmp_path / "a.png", image, P3)).image
    assert converted.mode == "RGBA" and converted.getpixel((0, 0))[3] == 77  # type: ignore[index]


@pytest.mark.parametrize(
    "profile",
    [
        matrix_profile(SRGB_COLUMNS),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ],
    ids=["by hand", "by Pillow"],
)
def test_a_photo_in_srgb_keeps_its_bits(tmp_path: Path, profile: bytes) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(pixels), profile)
    assert np.array_equal(read_rgb(path), pixels)


def test_gray_of_another_gamma_is_lightened_as_that_says(tmp_path: Path) -> None:
    """Level 128 at gamma 1 is half the light, which sRGB writes as 188."""
    image = Image.new("L", (4, 4), 128)
    assert (
        np.abs(read_rgb(save(tmp_path / "a.png", image, gray_profile(1.0))).astype(int) - 188).max()
        <= 1
    )


def test_inks_are_read_by_their_profile(tmp_path: Path) -> None:
    """L* 75, of one ink, is level 185 of sRGB, whichever ink it is."""
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    pixels = read_rgb(save(tmp_path / "a.tif", image, ink_profile())).astype(int)
    assert np.abs(pixels - 185).max() <= 3


@pytest.mark.parametrize(
    ("profile", "reason"),
    [(b"no profile at all", "cannot"), (gray_profile(2.2), "GRAY"), (ink_profile(), "CMYK")],
    ids=["broken", "gray", "inks"],
)
def test_a_profile_of_no_use_is_told_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, profile: bytes, reason: str
) -> None:
    path = save(tmp_path / "odd.png", Image.new("RGB", (4, 4), STORED), profile)
    with caplog.at_level(logging.WARNING):
        assert (read_rgb(path) == STORED).all()
    (message,) = caplog.messages
    assert message.startswith(f"{path}: its colour profile is not used") and reason in message


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (read_gray, round(STORED[0] * 0.299 + STORED[1] * 0.587 + STORED[2] * 0.114)),
        (lambda path: read_infrared(path).pixels, 94),
        (read_semantic, STORED),
        (lambda path: map_colours(path, np.zeros((4, 4, 3), np.uint8)), STORED),
    ],
    ids=["mask", "infrared", "semantic map", "given map"],
)
def test_what_is_no_colour_is_not_converted(
    tmp_path: Path, read: Callable[[Path], np.ndarray], expected: object
) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (4, 4), STORED), P3)
    assert (read(path) == np.asarray(expected)).all()
