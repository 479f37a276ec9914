"""Infrared files of 8 or 16 bit, one or three channels, as 8-bit levels on one scale.

The scaling, which `scaling_note` puts into words for info.json:

- 8 bit: the stored values.
- 16 bit: low..high linearly to 0..255, rounded and clipped, where low and high leave out 0.1% of
  the pixels at either end, counted over all 16-bit files of the data set. One range for all keeps
  temperatures comparable between pictures.
- Three channels: their ITU-R BT.601 luma at the depth of the file, then as above. For equal
  channels that is the channel itself.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

from refract.base.errors import InputError
from refract.base.files import refuse_special
from refract.media.image_reading import LUMA, Infrared, open_upright, read_infrared
from refract.media.panel_pixels import percentile_range, to_eight_bits

_FRACTION = 0.001
_BITS_PER_SAMPLE = 258  # TIFF tag
_PNG_DEPTH = 24  # place of the bit depth in a PNG file

LowHigh = tuple[int, int]


def read_thermal(path: Path) -> Infrared:
    """As `read_infrared`, and with all 16 bits of a file of several channels.

    Pillow reads those as 8 bits, which would leave a thermal camera's values a handful of levels.

    Raises InputError for a file that is no picture.
    """
    if not is_deep(path) or _mode(path).startswith("I"):
        return read_infrared(path)
    open_upright(path)  # says in words what is wrong with a damaged file
    channels = _decode_sixteen_bits(path)
    values = np.rint(channels @ LUMA).astype(np.uint16)
    equal = not np.ptp(channels.astype(np.int32), axis=-1).any()
    kind = "16-bit, three equal channels" if equal else "16-bit, colour"
    return Infrared(values, kind)


def sixteen_bit_range(paths: Iterable[Path]) -> LowHigh | None:
    """The value range of all 16-bit files together, None where there are none."""
    counts = np.zeros(65536, np.int64)
    for path in paths:
        if is_deep(path):
            counts += np.bincount(read_thermal(path).pixels.ravel(), minlength=65536)
    return percentile_range(counts, _FRACTION) if counts.any() else None


def to_levels(pixels: NDArray[np.generic], low_high: LowHigh | None) -> NDArray[np.uint8]:
    """Pixels [H, W], uint8 or uint16, as 8-bit levels; `low_high` is the range of 16-bit values."""
    if pixels.dtype != np.uint16:
        return pixels.astype(np.uint8)
    assert low_high is not None  # the range was taken over all 16-bit files
    return to_eight_bits(pixels.astype(np.uint16), *low_high)


def scaling_note(low_high: LowHigh | None) -> str:
    """What was done to the infrared values, for info.json."""
    note = "8 bit: as stored; three channels: BT.601 luma"
    if low_high is not None:
        low, high = low_high
        note += (
            f"; 16 bit: {low}..{high} linearly to 0..255, clipped ({_FRACTION:.1%} of all 16-bit "
            "pixels of the data set left out at each end)"
        )
    return note


def is_deep(path: Path) -> bool:
    """Whether a file holds 16 bits a channel, from its header alone."""
    refuse_special(path)
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):
                return True
            if image.format == "PNG":
                with path.open("rb") as file:
                    return file.read(_PNG_DEPTH + 1)[_PNG_DEPTH] == 16
            return isinstance(image, TiffImageFile) and 16 in image.tag_v2.get(_BITS_PER_SAMPLE, ())
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        open_upright(path)  # likewise
        raise


def _mode(path: Path) -> str:
    with Image.open(path) as image:
        return image.mode


def _decode_sixteen_bits(path: Path) -> NDArray[np.uint16]:
    """Channels [H, W, 3] through ffmpeg."""
    with Image.open(path) as image:
        width, height = image.size
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            raise InputError(f"{path}: turned by EXIF; save 16-bit colour channels upright")
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-protocol_whitelist", "file",
        "-f", "image2", "-pattern_type", "none", "-i", f"file:{path.absolute()}",
        "-f", "rawvideo", "-pix_fmt", "rgb48le", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or len(done.stdout) != height * width * 3 * 2:
        detail = done.stderr.decode(errors="replace").strip() or "unexpected size"
        raise InputError(f"{path}: its 16-bit channels cannot be read ({detail})")
    return np.frombuffer(done.stdout, "<u2").reshape(height, width, 3)
