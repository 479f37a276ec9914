"""Photos with an ICC profile as sRGB, which is what models and videos take pixels for."""

import io
import logging
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)

_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # ICC colour space -> mode of Pillow
_OTHER_PRIMARIES = (9, 11, 12)  # BT.2020, DCI-P3, Display P3
_OTHER_TRANSFERS = (16, 18)  # PQ, HLG
_ROUNDING = 1  # levels that two profiles of one colour space lie apart
_STEP = 32  # levels between the colours by which a profile is told to be sRGB


def to_srgb(image: Image.Image, source: Path | str) -> Image.Image:
    """A colour photo of 8 bits in sRGB; the picture itself where it has no other profile.

    Relative colorimetric with black point compensation. A profile that cannot be read, or that is
    of another kind than the pixels, is passed over with a warning that names `source`.
    """
    content = image.info.get("icc_profile")
    if not content:
        _tell_other_space(image, source)
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        mode = _mode_for(image, profile.profile.xcolor_space)
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return image if _changes_nothing(transform, mode) else _converted(image, transform, mode)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        logger.warning(
            "%s: its colour profile is not used (%s); its colours are taken for sRGB", source, error
        )
        return image


def _tell_other_space(image: Image.Image, source: Path | str) -> None:
    """Warn where an HEIC file says by code points (ITU-T H.273), for want of a profile, what else
    its colours are."""
    codes = image.info.get("nclx_profile") or {}
    primaries, transfer = codes.get("color_primaries"), codes.get("transfer_characteristics")
    if primaries in _OTHER_PRIMARIES or transfer in _OTHER_TRANSFERS:
        logger.warning(
            "%s: its colours (primaries %s, transfer %s of ITU-T H.273) are taken for sRGB",
            source, primaries, transfer,
        )  # fmt: skip


def _mode_for(image: Image.Image, space: str) -> str:
    """The mode in which the picture's pixels are what a profile of this colour space describes."""
    mode = _SPACES.get(space)
    gray, inks = image.mode in ("1", "L", "LA"), image.mode == "CMYK"
    if mode is None or (mode == "CMYK") != inks or (mode == "L" and not gray):
        raise ValueError(f"it is of {space.strip()}, the picture of {image.mode}")
    return mode


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether colours all over the space come out as they are, which sRGB itself does."""
    levels = np.append(np.arange(0, 256, _STEP), 255).astype(np.uint8)
    if mode == "CMYK":
        return False
    colours = levels if mode == "L" else np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    before = Image.fromarray(colours.reshape(len(levels), -1, *([3] if mode == "RGB" else [])))
    after = ImageCms.applyTransform(before, transform)
    assert after is not None  # it is none in place alone
    moved = np.asarray(after, np.int16) - np.asarray(before.convert("RGB"), np.int16)
    return int(np.abs(moved).max()) <= _ROUNDING


def _converted(image: Image.Image, transform: ImageCms.ImageCmsTransform, mode: str) -> Image.Image:
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colours = image if image.mode == mode else image.convert(mode)
    converted = ImageCms.applyTransform(colours, transform)
    assert converted is not None  # likewise
    if alpha is not None:
        converted.putalpha(alpha)
    converted.info.pop("icc_profile", None)
    return converted
