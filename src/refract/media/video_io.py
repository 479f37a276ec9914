"""Clips on disk: read and fitted to a frame, written without loss, written for the eye.

All through the ffmpeg binary that imageio-ffmpeg brings along, with its bit-exact switches and
one thread, so that equal frames make equal files. A clip is one file that holds its frames: what
ffmpeg would follow to other files or the network (playlists, `concat:`, patterns of file names) is
refused.
"""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from refract.base.atomic import write_atomic
from refract.base.errors import InputError

Frames = NDArray[np.uint8]  # [F, H, W, 3]

_BITEXACT = [
    "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1", "-map_metadata", "-1",
]  # fmt: skip
_SCALER = ["-sws_flags", "lanczos+accurate_rnd+full_chroma_int+bitexact"]
# Demuxers that read one file alone. Of hls, concat, image2, dash, mpjpeg and the like none is here.
_CONTAINERS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,obu,ivf,ogg,flv,asf,nut,mxf,dv,gif,apng,"
    "yuv4mpegpipe"
)
_MOST_PX = 1 << 26  # of a frame: 8192 x 8192
_INPUT = [  # what ffmpeg is told before it opens a clip
    "-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, "-max_pixels", str(_MOST_PX),
]  # fmt: skip
_CODECS = {
    "lossless": ["-c:v", "ffv1", "-level", "3", "-pix_fmt", "gbrp"],
    "preview": [
        "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "12", "-preset", "medium",
        "-x264-params", "threads=1:lookahead-threads=1:sliced-threads=0",
        "-movflags", "+faststart",
    ],
}  # fmt: skip


class Clip(NamedTuple):
    """frames: [F, H, W, 3] uint8 RGB. fps: frames a second."""

    frames: Frames
    fps: float


def read_clip(
    path: Path, count: int | None = None, *, width: int | None = None, height: int | None = None
) -> Clip:
    """The first `count` frames of a clip (None: all), at its own frame rate.

    With a width and height each frame is scaled to cover them and cropped at its centre, so that
    nothing is squashed; a frame that has them already is not touched. Only the wanted frames are
    decoded and no more than one is held at full resolution.

    Raises InputError for a missing or unreadable file, one that is no single video file, frames of
    more than 8192 x 8192 pixels, and fewer than `count` frames.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"video {path}: no such file")
    limit = [] if count is None else ["-frames:v", str(count)]
    frames: list[Frames] = []
    try:
        with closing(
            imageio_ffmpeg.read_frames(
                # without `file:` ffmpeg takes some names for switches, addresses or protocols
                f"file:{path.absolute()}",
                input_params=_INPUT,
                output_params=_SCALER + limit,
            )
        ) as raw:
            facts = next(raw)
            columns, rows = facts["size"]
            for data in raw:
                frame = np.frombuffer(data, np.uint8).reshape(rows, columns, 3)
                frames.append(fit_frame(frame, width or columns, height or rows))
    except (OSError, RuntimeError, StopIteration, KeyError, IndexError, ValueError) as error:
        detail = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise InputError(
            f"video {path}: cannot be decoded ({detail[0][:120]}); must be one file of MP4, MOV, "
            "MKV, WebM, AVI, MPEG, OGG, FLV, WMV, MXF or GIF"
        ) from error
    if not frames or len(frames) < (count or 0):
        raise InputError(
            f"video {path}: has {len(frames)} frames, but {count or 'at least 1'} are needed; "
            "lower flowalign.frames (4k + 1) or give a longer clip"
        )
    return Clip(np.stack(frames), float(facts["fps"]) or 16.0)


def fit_frame(frame: Frames, width: int, height: int, *, nearest: bool = False) -> Frames:
    """Scale a frame [H, W, 3] or mask [H, W] to cover width x height and crop it at the centre."""
    if frame.shape[:2] == (height, width):
        return frame
    resampling = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    return np.asarray(ImageOps.fit(Image.fromarray(frame), (width, height), resampling))


def write_clip(path: Path, clip: Clip, quality: Literal["lossless", "preview"]) -> None:
    """Write a clip: lossless is FFV1 in RGB (.mkv), preview H.264 (.mp4, even width and height)."""
    encode(path, clip, [*_CODECS[quality], *_SCALER])


def encode(path: Path, clip: Clip, options: Sequence[str]) -> None:
    """Write a clip by ffmpeg with `options` of its output, beside those that make it bit-exact.

    Raises RuntimeError with ffmpeg's last words where it fails, and OSError where the file would be
    longer than the system allows, of which ffmpeg dies without a word.
    """

    def write(temporary: Path) -> None:
        done = _pipe(clip, [*options, *_BITEXACT, str(temporary)])
        if sys.platform != "win32" and done.returncode == -signal.SIGXFSZ:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        if done.returncode != 0:
            message = done.stderr.decode(errors="replace").strip()
            raise RuntimeError(f"ffmpeg could not write {path}: {message[-300:]}")

    write_atomic(Path(path), write)


def run_filter(clip: Clip, graph: str, folder: Path) -> None:
    """Send a clip, uncompressed, through a filter graph of ffmpeg for what it writes to `folder`.

    Raises RuntimeError with ffmpeg's last words where it fails.
    """
    options = ["-filter_complex", graph, *_SCALER, "-threads", "1", "-f", "null", "-"]
    done = _pipe(clip, options, folder)
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(f"ffmpeg: {graph}: ended with {done.returncode}; {message[-300:]}")


@cache
def has_filter(name: str) -> bool:
    """Whether the ffmpeg binary was built with a filter."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-filters"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return any(name in line.split()[1:2] for line in listed.splitlines())


def _pipe(
    clip: Clip, options: Sequence[str], folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """ffmpeg, run in `folder`, with a clip's raw frames as its input."""
    height, width = clip.frames.shape[1:3]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{clip.fps:g}", "-i", "-"]
    content = np.ascontiguousarray(clip.frames).tobytes()
    return subprocess.run([*command, *options], input=content, capture_output=True, cwd=folder)


def side_by_side(columns: list[Frames]) -> Frames:
    """Clips of one shape next to each other; a single picture [H, W, 3] stands still."""
    count = max(len(column) for column in columns if column.ndim == 4)
    moving = [
        column if column.ndim == 4 else np.broadcast_to(column, (count, *column.shape))
        for column in columns
    ]
    return np.concatenate(moving, axis=2)
