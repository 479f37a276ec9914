"""Clips and photos as any browser shows them: WebM (VP9) and PNG, equal bytes for equal pixels."""

from pathlib import Path

import imageio_ffmpeg
import numpy as np
from einops import repeat
from PIL import Image

from refract.base.atomic import write_atomic
from refract.base.errors import InputError
from refract.media.image_reading import open_upright
from refract.media.video_io import Frames, encode

SMALL_PX = 256  # clips with a shorter side than this are shown with hard pixels
_PHOTO_PX = 640
_VP9 = [
    "-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-crf", "12", "-b:v", "0", "-deadline", "good",
    "-cpu-used", "2", "-row-mt", "0",
]  # fmt: skip
# Untagged colours are a matter of taste among browsers.
_COLOURS = [
    "-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+bitexact",
    "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
    "-color_range", "tv",
]  # fmt: skip
_BITEXACT = [
    "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1", "-map_metadata", "-1",
]  # fmt: skip


def write_webm(frames: Frames, path: Path, fps: float) -> None:
    """Write frames `[F, H, W, 3]` as VP9.

    Small clips are written at twice their size, each pixel four times: VP9 as browsers play it
    keeps one colour for 2 x 2 pixels, and colour is what raters are asked about.
    """
    if min(frames.shape[1:3]) < SMALL_PX:
        frames = repeat(frames, "f h w c -> f (h 2) (w 2) c")
    height, width = frames.shape[1:3]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    command += [*_COLOURS, *_VP9, *_BITEXACT]
    write_atomic(path, lambda temporary: encode(command, frames, temporary))


def write_photo(photo: Path, path: Path) -> None:
    """Write a product photo as PNG: upright, transparency on white, at most 640 pixels a side.

    Nothing of the file but its pixels is kept. Raises InputError for an unreadable picture.
    """
    image = open_upright(photo)
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{photo}: mode {image.mode}; an 8-bit colour or gray picture is needed")
    rgba = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    flat.thumbnail((_PHOTO_PX, _PHOTO_PX), Image.Resampling.LANCZOS)
    clean = Image.fromarray(np.asarray(flat))
    write_atomic(path, lambda temporary: clean.save(temporary, format="PNG"))
