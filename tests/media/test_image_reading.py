import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.media.image_reading import (
    class_colours,
    is_picture,
    read_gray,
    read_infrared,
    read_rgb,
    read_semantic,
)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:, :8] = 255
    turned = Image.fromarray(upright).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    turned.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), upright)


def test_sixteen_bits_survive(tmp_path: Path) -> None:
    values = np.array([[0, 300], [40000, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    infrared = read_infrared(tmp_path / "a.png")
    assert infrared.kind == "16-bit"
    assert np.array_equal(infrared.pixels, values)


def test_kinds_of_eight_bit_infrared(tmp_path: Path) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Image.fromarray(gray).convert("RGB").save(tmp_path / "equal.png")
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 0] = 200
    Image.fromarray(colour).save(tmp_path / "colour.png")
    kinds = {name: read_infrared(tmp_path / f"{name}.png") for name in ("gray", "equal", "colour")}
    assert [x.kind for x in kinds.values()] == ["8-bit", "three equal channels", "colour"]
    assert np.array_equal(kinds["equal"].pixels, gray)
    assert kinds["colour"].pixels[0, 0] == round(0.299 * 200)


def test_class_ids_get_fixed_colours(tmp_path: Path) -> None:
    ids = np.array([[0, 1], [2, 255]], np.uint8)
    Image.fromarray(ids).save(tmp_path / "ids.png")
    colours = read_semantic(tmp_path / "ids.png")
    assert colours[0, 0].tolist() == [0, 0, 0]
    assert colours[0, 1].tolist() == [128, 0, 0]  # the VOC colour of class 1
    assert len(np.unique(class_colours(), axis=0)) == 256
    Image.fromarray(colours).save(tmp_path / "colours.png")
    assert np.array_equal(read_semantic(tmp_path / "colours.png"), colours)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:2000])
    text = tmp_path / "text.png"
    text.write_text("no picture")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    for path in (cut, text, empty, tmp_path / "absent.png"):
        with pytest.raises(InputError, match=str(path)):
            read_rgb(path)


def test_float_infrared_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match="floating point"):
        read_infrared(tmp_path / "a.tiff")


def test_stray_files_are_no_pictures() -> None:
    names = ["a.PNG", "b.jpeg", "Thumbs", "Thumbs.db", ".hidden.png", "notes.txt"]
    assert [is_picture(Path(name)) for name in names] == [True, True, False, False, False, False]


@pytest.mark.parametrize("read", [read_rgb, read_gray, read_semantic, read_infrared])
def test_cie_lab_is_refused_everywhere(tmp_path: Path, read: Callable[[Path], object]) -> None:
    Image.new("LAB", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: mode LAB, expected"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("read", [read_rgb, read_gray])
def test_more_than_eight_bits_are_refused_where_they_would_be_clipped(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="expected an 8-bit"):
        read(tmp_path / "a.png")


def test_class_ids_with_transparency_are_class_ids(tmp_path: Path) -> None:
    Image.new("LA", (4, 4), (1, 255)).save(tmp_path / "a.png")
    assert read_semantic(tmp_path / "a.png")[0, 0].tolist() == [128, 0, 0]


def test_a_map_of_floating_point_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="floating point picture, expected colours or class ids"):
        read_semantic(tmp_path / "a.tif")


def test_damaged_exif_says_nothing_on_stderr(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    tags = b"".join(struct.pack("<HHII", 256 + i, 99, 2**31, 8) for i in range(8))
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, 60000) + tags)
    with pytest.raises(InputError, match="not a readable picture"):
        read_rgb(tmp_path / "a.tif")
    assert not recwarn.list
