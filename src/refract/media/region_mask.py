"""A region that a user drew over a clip: a picture, a folder of pictures, or a clip; white inside.

Rough is fine: `soften` grows it and lets it fade out.
"""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.base.errors import InputError
from refract.media.image_reading import is_picture, read_gray
from refract.media.mask_folder import mask_files
from refract.media.regions import BoolArray
from refract.media.video_io import Frames, fit_frame, read_frames


def read_region(
    path: Path,
    first: int,
    count: int,
    size: tuple[int, int],
    *,
    fps: float | None = None,
    stretch: bool = False,
) -> Iterator[BoolArray]:
    """The region [H, W] in each of the template's frames first .. first + count - 1.

    One picture holds for all of them. size: width and height, which the mask is scaled to cover
    and cropped to at its centre, as the edit's frames are; with `stretch` it is scaled to it as it
    is. fps: to which the template was resampled, and so a clip of its region.

    Raises InputError for too few frames, for what cannot be read, and at the end for a region of
    which nothing is white in any of these frames.
    """
    given, empty = 0, True
    for gray in _grays(path, first, count, fps):
        inside = _sized(gray, size, stretch) > 127
        given, empty = given + 1, empty and not inside.any()
        yield inside
    if given < count:
        raise InputError(
            f"{path}: has {first + given} frames; {first + count} are needed, one a template frame"
        )
    if empty:
        raise InputError(
            f"{path}: nothing is white in frames {first} to {first + count - 1}; white is edited"
        )


def soften(region: BoolArray, grow_px: float, fade_px: float) -> NDArray[np.float32]:
    """1 in a region [H, W] and up to `grow_px` around it, falling to 0 over `fade_px` more."""
    import cv2  # where a mask is worked on, as in `regions`

    if not region.any():
        return np.zeros(region.shape, np.float32)
    outside = (~region).astype(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ramp = np.clip(1 - (distance - grow_px) / max(fade_px, 1e-3), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float32)  # smooth at both ends


def _grays(path: Path, first: int, count: int, fps: float | None) -> Iterator[Frames]:
    """The mask [H, W] uint8 of each frame."""
    if path.is_dir():
        yield from map(read_gray, mask_files(path, count, first))
    elif is_picture(path):
        yield from repeat(read_gray(path), count)
    else:
        for _, pixels in read_frames(path, fps=fps, first=first, count=count):
            yield np.asarray(Image.fromarray(pixels).convert("L"))


def _sized(gray: Frames, size: tuple[int, int], stretch: bool) -> Frames:
    if not stretch:
        return fit_frame(gray, *size, nearest=True)
    return np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.NEAREST))
