"""Clips on disk: read as a player shows them, fitted to a frame, written without loss or to see.

A clip comes in frame by frame through one chain of filters (`decode_chain`); see `clip_facts` for
what is a clip and what is refused.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from refract.base.errors import InputError
from refract.media.clip_facts import INPUT_OPTIONS, ClipFacts, clip_facts, mean_rate, undecodable
from refract.media.decode_chain import Layout, decode_chain
from refract.media.ffmpeg import BT709, SCALER, Frames, decode, encode
from refract.media.wide_colours import is_wide, write_curve

_CODECS = {
    "lossless": ["-c:v", "ffv1", "-level", "3", "-pix_fmt", "gbrp", *SCALER],
    "preview": [
        *BT709, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "12", "-preset", "medium",
        "-x264-params", "threads=1:lookahead-threads=1:sliced-threads=0",
        "-movflags", "+faststart",
    ],
}  # fmt: skip


class Clip(NamedTuple):
    """frames: [F, H, W, 3] uint8 RGB. fps: frames a second."""

    frames: Frames
    fps: float


class TimedFrame(NamedTuple):
    """time: s from the container's start, which is the sound's clock too. pixels: uint8."""

    time: Fraction
    pixels: Frames


def read_frames(
    path: Path,
    *,
    fps: float | None = None,
    first: int = 0,
    count: int | None = None,
    layout: Layout = "rgb",
) -> Iterator[TimedFrame]:
    """The frames of a clip as a player shows them, one after another, each at its own time.

    Upright, square pixels, progressive, even width and height, SDR (`clip_facts` tells the size).
    fps: frames a second to be made of them by leaving out and repeating. first, count: of what
    then comes. layout: rgb is [H, W, 3]; yuv is planar yuv420p of BT.709 in limited range,
    [H * 3 / 2, W], and what the decoder gave where the clip has that already.

    Raises InputError as `clip_facts`, and for a clip that breaks off with an error; a clip that
    merely has fewer frames ends early.
    """
    facts = clip_facts(path)
    chain = decode_chain(facts, fps, first, count, layout)
    yuv = layout == "yuv"
    shape = (facts.height * 3 // 2, facts.width) if yuv else (facts.height, facts.width, 3)
    frames = _decoded(path, facts, chain, "demux" if fps is None else "0")
    # what comes after the last one may well be damaged
    for time, pixels in islice(frames, count):
        yield TimedFrame(time, pixels.reshape(shape))


def _decoded(
    path: Path, facts: ClipFacts, chain: str, time_base: str
) -> Iterator[tuple[Fraction, Frames]]:
    """The times and bytes of what the filters `chain` make of a clip."""
    arguments = [word for name, value in INPUT_OPTIONS.items() for word in (f"-{name}", value)]
    if facts.codec in ("theora", "vp3", "vp4"):  # on several threads, other pixels each time
        arguments += ["-threads", "1"]
    # nothing is lost to what a container would have hidden ('clap'), of which PyAV tells nothing
    arguments += ["-apply_cropping", "codec"]
    # without `file:` ffmpeg takes some names for switches, addresses or protocols
    arguments += ["-copyts", "-i", f"file:{path.absolute()}"]
    arguments += ["-map", f"0:{facts.stream}", "-vf", chain]
    arguments += ["-fps_mode", "passthrough", "-enc_time_base", time_base]
    with TemporaryDirectory() as folder:
        if is_wide(*facts.colours[:2]):
            write_curve(Path(folder))
        try:
            yield from decode(arguments, Path(folder))
        except RuntimeError as error:
            words = str(error).splitlines()[-1:] or ["no reason given"]
            raise undecodable(path, words[0]) from error


def read_clip(
    path: Path, count: int | None = None, *, width: int | None = None, height: int | None = None
) -> Clip:
    """The first `count` frames of a clip (None: all), and the mean rate of these.

    With a width and height each frame is scaled to cover them and cropped at its centre, so that
    nothing is squashed; a frame that has them already is not touched. Only the wanted frames are
    decoded and no more than one is held at full resolution.

    Raises InputError as `read_frames`, and for fewer than `count` frames.
    """
    facts = clip_facts(path)
    times, frames = [], []
    for time, pixels in read_frames(path, count=count):
        times.append(time)
        frames.append(fit_frame(pixels, width or facts.width, height or facts.height))
    if not frames or len(frames) < (count or 0):
        raise InputError(
            f"video {path}: has {len(frames)} frames, but {count or 'at least 1'} are needed; "
            "lower flowalign.frames (4k + 1) or give a longer clip"
        )
    fps = facts.fps
    if len(frames) < facts.frames:
        fps = mean_rate(times, facts.tick, [Fraction(fps)])
    return Clip(np.stack(frames), fps)


def fit_frame(frame: Frames, width: int, height: int, *, nearest: bool = False) -> Frames:
    """Scale a frame [H, W, 3] or mask [H, W] to cover width x height and crop it at the centre."""
    if frame.shape[:2] == (height, width):
        return frame
    resampling = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    return np.asarray(ImageOps.fit(Image.fromarray(frame), (width, height), resampling))


def write_frames(
    path: Path, frames: Iterable[Frames], fps: float, quality: Literal["lossless", "preview"]
) -> None:
    """Write frames [H, W, 3] of one size, held one at a time.

    Lossless is FFV1 in RGB (.mkv), preview H.264 of BT.709 (.mp4, even width and height).
    """
    encode(path, frames, fps, _CODECS[quality])


def write_clip(path: Path, clip: Clip, quality: Literal["lossless", "preview"]) -> None:
    """Write a clip as `write_frames` does."""
    write_frames(path, clip.frames, clip.fps, quality)


def side_by_side(columns: list[Frames]) -> Frames:
    """Clips of one shape next to each other; a single picture [H, W, 3] stands still."""
    count = max(len(column) for column in columns if column.ndim == 4)
    moving = [
        column if column.ndim == 4 else np.broadcast_to(column, (count, *column.shape))
        for column in columns
    ]
    return np.concatenate(moving, axis=2)
