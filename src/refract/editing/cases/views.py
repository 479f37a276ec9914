"""Clips for the eye: the edits as H.264, and source | plain | reference | product side by side."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from refract.media.image_reading import read_rgb, reading_px
from refract.media.video_io import Clip, read_clip, side_by_side, write_clip


def write_views(folder: Path, source: Path, plain: Path, result: Path, photo: Path | None) -> None:
    """Write plain.mp4, reference.mp4 and side_by_side.mp4 from lossless clips of one shape."""
    clips = [read_clip(path) for path in (source, plain, result)]
    fps = clips[0].fps
    for name, clip in (("plain", clips[1]), ("reference", clips[2])):
        write_clip(folder / f"{name}.mp4", clip, "preview")
    columns = [clip.frames for clip in clips]
    if photo is not None:
        height, width = columns[0].shape[1:3]
        pixels = read_rgb(photo, reading_px(height, width))
        padded = ImageOps.pad(Image.fromarray(pixels), (width, height), color="white")
        columns.append(np.asarray(padded))
    write_clip(folder / "side_by_side.mp4", Clip(side_by_side(columns), fps), "preview")
