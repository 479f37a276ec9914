"""Pictures from disk as arrays: upright, with a one-line error where a file is no picture."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from refract.base.errors import InputError
from refract.base.files import refuse_special
from refract.media.colour_profiles import to_srgb

PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".heic", ".heif", ".avif")
SUFFIXES = frozenset({*PHOTO_SUFFIXES, ".bmp", ".tif", ".tiff"})
# Pillow's modes of 8 bits a channel that it converts to RGB; of the others (16 bits, floating
# point, CIE Lab) a conversion would clip or fail.
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_SINGLE_CHANNEL = frozenset({"1", "L", "LA"})
_PALETTES = frozenset({"1", "P", "PA"})
_ON_ITS_SIDE = range(5, 9)  # EXIF orientations that swap width and height
_LEAST_READ_PX = 1024
_JPEG_NOISE = 8  # chroma subsampling moves equal channels apart by a few levels


class Reduced(NamedTuple):
    """A picture as it was read, and its (width, height) in the file, both upright."""

    image: Image.Image
    full_size: tuple[int, int]


class Infrared(NamedTuple):
    """A single-channel picture; `kind` says what the file held."""

    pixels: NDArray[np.generic]  # [H, W] uint8 or uint16
    kind: str  # "8-bit" | "16-bit" | "three equal channels" | "colour"


def is_picture(path: Path) -> bool:
    """Whether a file looks like a picture by its name (`Thumbs` and hidden files do not)."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def open_upright(path: Path) -> Image.Image:
    """Open a picture fully and turn it as its EXIF orientation says; InputError if unreadable.

    Of an animation or a file of several pages it is the first picture.
    """
    return _open(path, None).image


def open_eight_bit(path: Path) -> Image.Image:
    """As `open_upright`; InputError too for more than 8 bits a channel and for CIE Lab."""
    return open_reduced(path, None).image


def open_reduced(path: Path, most_px: int | None) -> Reduced:
    """As `open_eight_bit`, the longer side reduced to `most_px` where it is longer.

    A JPEG is decoded at a fraction of its size, so a large one is never whole in memory.
    """
    reduced = _open(path, most_px)
    if reduced.image.mode not in _EIGHT_BIT:
        raise InputError(
            f"{path}: mode {reduced.image.mode}, expected an 8-bit colour or gray picture"
        )
    return reduced


def open_photo(path: Path, most_px: int | None = None) -> Reduced:
    """As `open_reduced`, its colours in sRGB: for photos, not for masks, maps and infrared."""
    reduced = open_reduced(path, most_px)
    return reduced._replace(image=to_srgb(reduced.image, path))


def reading_px(height: int, width: int) -> int:
    """To which longer side a photo is reduced at reading, for a frame of height x width."""
    return max(_LEAST_READ_PX, 2 * max(height, width))


def _open(path: Path, most_px: int | None) -> Reduced:
    refuse_special(path)
    try:
        _register_heif(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of damaged metadata
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # at half the limit
            with Image.open(path) as image:
                return _upright(image, most_px)
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: too many pixels ({error})") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever Pillow's readers run into: struct.error, zlib.error, ...
        detail = str(error).replace(str(path), "").strip(" '\"") or type(error).__name__
        raise InputError(f"{path}: not a readable picture ({detail})") from error


def _upright(image: Image.Image, most_px: int | None) -> Reduced:
    """A picture decoded, reduced before all else, and turned."""
    full, shown = image.size, image
    if most_px is not None and max(full) > most_px:
        if image.mode in _PALETTES or "transparency" in image.info:  # whose levels do not blend
            shown = image.convert("RGBA")
        shown.thumbnail((most_px, most_px), Image.Resampling.LANCZOS)
    shown.load()
    turned = image.getexif().get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
    ImageOps.exif_transpose(shown, in_place=True)  # else a second picture in memory
    return Reduced(shown, full[::-1] if turned else full)


def _register_heif(path: Path) -> None:
    """Teach Pillow HEIC where a file is of its container, whatever it is called; AVIF it knows."""
    with path.open("rb") as file:
        is_heif = file.read(12)[4:8] == b"ftyp"
    if is_heif:
        import pillow_heif  # brings a video decoder

        pillow_heif.register_heif_opener()


def on_white(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """A picture in RGB, transparent pixels laid on white, and its opacity (mode L)."""
    # Pillow has no way from CMYK to RGBA, but every mode with transparency has one.
    rgba = (image if image.has_transparency_data else image.convert("RGB")).convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return flat, rgba.getchannel("A")


def letterbox(
    image: Image.Image, height: int, width: int, colour: tuple[int, ...] | int
) -> Image.Image:
    """The whole picture, its shape kept, in the middle of height x width on bands of `colour`."""
    scale = min(height / image.height, width / image.width)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new(image.mode, (width, height), colour)
    resized = image if inner == image.size else image.resize(inner, Image.Resampling.LANCZOS)
    canvas.paste(resized, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return canvas


def read_rgb(path: Path, most_px: int | None = None) -> NDArray[np.uint8]:
    """A photo as sRGB [H, W, 3], reduced as by `open_reduced`; transparency is dropped."""
    return np.asarray(open_photo(path, most_px).image.convert("RGB"))


def read_stored_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture as [H, W, 3] of the levels in the file, of which each means something."""
    return np.asarray(open_eight_bit(path).convert("RGB"))


def read_gray(path: Path) -> NDArray[np.uint8]:
    """A mask as its luma [H, W], 0 to 255, as stored; transparency is dropped."""
    return np.asarray(open_eight_bit(path).convert("L"))


def read_infrared(path: Path) -> Infrared:
    """An infrared picture as one channel, 8 or 16 bits.

    Three channels become their luma; `kind` tells equal channels (a gray picture saved as RGB)
    from a false-colour picture, whose luma is not a temperature order.
    """
    image = open_upright(path)
    if image.mode == "F":
        raise InputError(f"{path}: floating point picture, expected 8 or 16 bit infrared")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise InputError(f"{path}: values {values.min()}..{values.max()}, expected 0..65535")
        return Infrared(values.astype(np.uint16), "16-bit")
    if image.mode in _SINGLE_CHANNEL:
        return Infrared(np.asarray(image.convert("L")), "8-bit")
    if image.mode not in _EIGHT_BIT:
        raise InputError(f"{path}: mode {image.mode}, expected 8 or 16 bit infrared")
    channels = np.asarray(image.convert("RGB"))
    spread = np.ptp(channels.astype(np.int16), axis=-1).max()
    kind = "three equal channels" if spread <= _JPEG_NOISE else "colour"
    return Infrared(np.rint(channels @ LUMA).astype(np.uint8), kind)


def read_semantic(path: Path) -> NDArray[np.uint8]:
    """A semantic map as colours [H, W, 3]; a single-channel file holds class ids and is coloured.

    The colour of a class id is fixed (`class_colours`), so every picture of a data set agrees.
    """
    image = open_upright(path)
    if image.mode == "F":
        raise InputError(f"{path}: floating point picture, expected colours or class ids 0..255")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 255:
            raise InputError(f"{path}: class ids {values.min()} to {values.max()}, expected 0..255")
        return class_colours()[values.astype(np.uint8)]
    if image.mode in _SINGLE_CHANNEL:
        return class_colours()[np.asarray(image.convert("L"))]
    return read_stored_rgb(path)


def class_colours() -> NDArray[np.uint8]:
    """Colours [256, 3] of class ids in the PASCAL VOC scheme: the bits of the id, spread out."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (ids >> (3 * level + channel)) & 1 if 3 * level + channel < 8 else 0
            colours[:, channel] |= np.asarray(bit << (7 - level), np.uint8)
    return colours
