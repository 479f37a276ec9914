"""Clips for the eye: the edits as H.264, and source | plain | reference | product side by side."""

from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from refract.media.image_reading import read_rgb, reading_px
from refract.media.video_io import Frames, read_frames, write_frames


def write_views(
    folder: Path,
    source: Sequence[Path],
    plain: Sequence[Path],
    result: Sequence[Path],
    photo: Path | None,
    fps: float,
) -> None:
    """Write plain.mp4, reference.mp4 and side_by_side.mp4.

    source, plain, result: lossless clips of one shape, which are shown one after another.
    """
    for name, clips in (("plain", plain), ("reference", result)):
        write_frames(folder / f"{name}.mp4", _shown(clips), fps, "preview")
    columns = list(map(_shown, (source, plain, result)))
    if photo is not None:
        height, width = next(_shown(source)).shape[:2]
        pixels = read_rgb(photo, reading_px(height, width))
        still = ImageOps.pad(Image.fromarray(pixels), (width, height), color="white")
        columns.append(repeat(np.asarray(still)))
    rows = (np.concatenate(row, axis=1) for row in zip(*columns, strict=False))
    write_frames(folder / "side_by_side.mp4", rows, fps, "preview")


def _shown(clips: Sequence[Path]) -> Iterator[Frames]:
    return (frame.pixels for clip in clips for frame in read_frames(clip))
