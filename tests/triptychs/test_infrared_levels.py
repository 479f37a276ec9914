import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from refract.base.errors import InputError
from refract.triptychs.preparing.infrared_levels import (
    is_deep,
    read_thermal,
    scaling_note,
    sixteen_bit_range,
    to_levels,
)

DEEP = np.array([[0, 300, 23_456], [40_000, 65_535, 7]], np.uint16)


def write_deep_rgb(path: Path, channels: NDArray[np.uint16]) -> None:
    """A PNG of three 16-bit channels [H, W, 3], which Pillow cannot write."""
    height, width = channels.shape[:2]
    rows = [b"\0" + row.astype(">u2").tobytes() for row in channels]

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data + chunk(b"IEND", b""))


def test_eight_bits_stay_as_they_are(tmp_path: Path) -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Image.fromarray(gray).convert("RGB").save(tmp_path / "three.png")
    for name in ("gray", "three"):
        path = tmp_path / f"{name}.png"
        assert not is_deep(path)
        assert np.array_equal(to_levels(read_thermal(path).pixels, None), gray)
    assert sixteen_bit_range([tmp_path / "gray.png"]) is None


def test_sixteen_bits_survive_in_one_and_in_three_channels(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "one.png")
    write_deep_rgb(tmp_path / "three.png", np.repeat(DEEP[..., None], 3, -1))
    one, three = (read_thermal(tmp_path / f"{name}.png") for name in ("one", "three"))
    assert one.pixels.dtype == three.pixels.dtype == np.uint16
    assert np.array_equal(one.pixels, DEEP) and np.array_equal(three.pixels, DEEP)
    assert (one.kind, three.kind) == ("16-bit", "16-bit, three equal channels")


def test_false_colour_of_sixteen_bits_is_told(tmp_path: Path) -> None:
    channels = np.zeros((4, 4, 3), np.uint16)
    channels[..., 1] = 10_000
    write_deep_rgb(tmp_path / "a.png", channels)
    infrared = read_thermal(tmp_path / "a.png")
    assert infrared.kind == "16-bit, colour"
    assert infrared.pixels[0, 0] == 5870  # the luma of green


def test_one_range_for_all_deep_files(tmp_path: Path) -> None:
    """low and high go to 0 and 255 whichever file and however many channels they are in."""
    Image.fromarray(np.full((4, 4), 20_000, np.uint16)).save(tmp_path / "cold.png")
    write_deep_rgb(tmp_path / "hot.png", np.full((4, 4, 3), 24_000, np.uint16))
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / "shallow.png")
    paths = sorted(tmp_path.glob("*.png"))
    low_high = sixteen_bit_range(paths)
    assert low_high == (20_000, 24_000)
    levels = {path.stem: to_levels(read_thermal(path).pixels, low_high)[0, 0] for path in paths}
    assert levels == {"cold": 0, "hot": 255, "shallow": 9}
    between = np.array([[19_000, 22_000, 30_000]], np.uint16)
    assert to_levels(between, low_high).tolist() == [[0, 128, 255]]


def test_the_scaling_in_words() -> None:
    assert "16 bit" not in scaling_note(None)
    assert "16 bit: 20000..24000 linearly to 0..255, clipped (0.1% of" in scaling_note(
        (20_000, 24_000)
    )


def test_deep_tiff_counts_too(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "a.tiff")
    assert is_deep(tmp_path / "a.tiff")
    assert np.array_equal(read_thermal(tmp_path / "a.tiff").pixels, DEEP)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(InputError, match=r"text\.png: not a readable picture"):
        sixteen_bit_range([text])
    write_deep_rgb(tmp_path / "cut.png", np.random.default_rng(0).integers(
        0, 65536, (32, 32, 3), np.uint16
    ))  # fmt: skip
    cut = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(cut[:2000])
    with pytest.raises(InputError, match=r"cut\.png: "):
        read_thermal(tmp_path / "cut.png")
