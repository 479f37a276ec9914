import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from refract.base.errors import InputError
from refract.media.image_reading import (
    class_colours,
    is_picture,
    open_photo,
    open_reduced,
    read_gray,
    read_infrared,
    read_rgb,
    read_semantic,
)


@pytest.mark.parametrize("suffix", ["png", "jpg", "heic", "avif"])
def test_a_turned_picture_is_turned_once(tmp_path: Path, suffix: str) -> None:
    pillow_heif.register_heif_opener()
    upright = np.zeros((64, 128, 3), np.uint8)
    upright[:, :64] = 255
    turned = Image.fromarray(upright).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    path = tmp_path / f"a.{suffix}"
    turned.save(path, exif=exif.tobytes(), quality=95)
    assert np.abs(read_rgb(path).astype(int) - upright).mean() < (1 if suffix != "png" else 1e-9)
    reduced, full_size = open_photo(path, 32)
    assert full_size == (128, 64) and reduced.size == (32, 16)
    levels = np.asarray(reduced.convert("L"))
    assert levels[:, :14].min() > 240 and levels[:, 18:].max() < 15


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_heic_is_read_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    """In a process of its own: here others have taught Pillow the format."""
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 40)))
    heif.save(tmp_path / "a.heic", quality=95)
    (tmp_path / "a.heic").rename(tmp_path / name)
    code = (
        "import sys; from pathlib import Path; from refract.media.image_reading import read_rgb; "
        "assert 'pillow_heif' not in sys.modules; print(read_rgb(Path(sys.argv[1])).mean((0, 1)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, check=True
    )
    colour = [float(level) for level in done.stdout.strip("[] \n").split()]
    assert np.abs(np.subtract(colour, (200, 30, 40))).max() < 3


def test_heic_that_names_other_colours_without_a_profile_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = Image.new("RGB", (64, 48))
    image.info["nclx_profile"] = {
        "color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6,
        "full_range_flag": 1,
    }  # fmt: skip
    pillow_heif.from_pillow(image).save(tmp_path / "a.heic", save_nclx_profile=True)
    read_rgb(tmp_path / "a.heic")
    assert "a.heic: its colours (primaries 12, transfer 13" in caplog.text


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "1", "CMYK"])
def test_a_large_picture_is_reduced_by_means(tmp_path: Path, mode: str) -> None:
    """Every second column is white: no reduction by picking pixels gives an even gray."""
    pixels = np.zeros((60, 120), np.uint8)
    pixels[:, ::2] = 255
    path = tmp_path / "a.tif"
    Image.fromarray(pixels).convert(mode).save(path)
    reduced, full_size = open_reduced(path, 40)
    levels = np.asarray(reduced.convert("RGB")).astype(int)
    assert full_size == (120, 60) and levels.shape == (20, 40, 3)
    assert levels.min() > 80 and levels.max() < 175
    assert np.array_equal(read_rgb(path, 120), read_rgb(path)), "what is small enough is as it was"


def test_a_large_jpeg_is_never_whole_in_memory(tmp_path: Path) -> None:
    Image.new("L", (8000, 6000), 99).save(tmp_path / "a.jpg")  # 46 MiB
    code = (
        "import resource, sys; from pathlib import Path; "
        "from refract.media.image_reading import open_photo; "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10; before = peak(); "
        "image = open_photo(Path(sys.argv[1]), 1024).image; print(peak() - before, *image.size)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.jpg"], capture_output=True, text=True, check=True
    )
    grown, width, height = map(int, done.stdout.split())
    assert (width, height) == (1024, 768) and grown < 25


def test_the_limit_of_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """Half of it is read without a word, more than it refused in one line."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    Image.new("RGB", (100, 100)).save(tmp_path / "large.png")
    assert read_rgb(tmp_path / "large.png").shape == (100, 100, 3)
    assert not recwarn.list
    Image.new("RGB", (101, 100)).save(tmp_path / "huge.png")
    with pytest.raises(InputError, match=r"huge\.png: too many pixels"):
        read_rgb(tmp_path / "huge.png")


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
    names = [
        "a.PNG",
        "b.jpeg",
        "c.HEIC",
        "d.avif",
        "Thumbs",
        "Thumbs.db",
        ".hidden.png",
        "notes.txt",
    ]
    assert [is_picture(Path(name)) for name in names] == 4 * [True] + 4 * [False]


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
