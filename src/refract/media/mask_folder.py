"""The masks of a clip: a folder of pictures, one a frame, white where the object is."""

from pathlib import Path

import numpy as np

from refract.base.errors import InputError
from refract.media.image_reading import is_picture, read_gray
from refract.media.regions import BoolArray
from refract.media.video_io import fit_frame


def mask_files(folder: Path, frames: int, first: int = 0) -> list[Path]:
    """`frames` pictures of a folder from number `first` on, counted from 0 in order of name.

    InputError if there are fewer.
    """
    paths = sorted(path for path in folder.glob("*") if is_picture(path))
    if len(paths) < first + frames:
        raise InputError(f"{folder}: {len(paths)} masks; {first + frames} are needed, one a frame")
    return paths[first : first + frames]


def read_masks(folder: Path, frames: int, height: int, width: int, first: int = 0) -> BoolArray:
    """Masks [F, H, W] of `frames` frames from number `first` on, fitted like the clip's frames.

    Raises InputError for too few pictures and for unreadable ones.
    """
    return np.stack([read_mask(path, height, width) for path in mask_files(folder, frames, first)])


def read_mask(path: Path, height: int, width: int) -> BoolArray:
    """One mask [H, W], scaled to cover the frame and cropped at its centre; white is above 127."""
    return fit_frame(read_gray(path), width, height, nearest=True) > 127
