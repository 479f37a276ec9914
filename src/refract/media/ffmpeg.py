"""The ffmpeg binary that imageio-ffmpeg brings along: what decodes, filters and encodes clips.

With its bit-exact switches and one thread it encodes equal frames as equal files.
"""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from refract.base.atomic import write_atomic

Frames = NDArray[np.uint8]  # [F, H, W, 3], or one of them

SCALER_FLAGS = "lanczos+accurate_rnd+full_chroma_int+bitexact"
SCALER = ["-sws_flags", SCALER_FLAGS]
BITEXACT = [
    "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1", "-map_metadata", "-1",
]  # fmt: skip
# RGB to BT.709. Untagged, it is read as BT.601 by one player and as BT.709 by the next.
BT709 = [
    "-vf", f"scale=out_color_matrix=bt709:out_range=tv:flags={SCALER_FLAGS},"
    "setparams=color_primaries=bt709:color_trc=bt709",
]  # fmt: skip


def encode(path: Path, frames: Iterable[Frames], fps: float, options: Sequence[str]) -> None:
    """Write frames [H, W, 3] of one size by ffmpeg with `options` of its output, one at a time.

    Raises RuntimeError with ffmpeg's last words where it fails, and OSError where the file would be
    longer than the system allows, of which ffmpeg dies without a word.
    """

    def write(temporary: Path) -> None:
        code, said = _pipe(frames, fps, [*options, *BITEXACT, str(temporary)])
        if sys.platform != "win32" and code == -signal.SIGXFSZ:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        if code != 0:
            raise RuntimeError(f"ffmpeg could not write {path}: {said[-300:]}")

    write_atomic(Path(path), write)


def run_filter(frames: Iterable[Frames], fps: float, graph: str, folder: Path) -> None:
    """Send frames, uncompressed, through a filter graph of ffmpeg for what it writes to `folder`.

    Raises RuntimeError with ffmpeg's last words where it fails.
    """
    options = ["-filter_complex", graph, *SCALER, "-threads", "1", "-f", "null", "-"]
    code, said = _pipe(frames, fps, options, folder)
    if code != 0:
        raise RuntimeError(f"ffmpeg: {graph}: ended with {code}; {said[-300:]}")


@cache
def has_filter(name: str) -> bool:
    """Whether the ffmpeg binary was built with a filter."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-filters"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return any(name in line.split()[1:2] for line in listed.splitlines())


def decode(arguments: Sequence[str], folder: Path) -> Iterator[tuple[Fraction, Frames]]:
    """The time (s) and the bytes of each frame that ffmpeg, run in `folder`, makes by `arguments`.

    Raises RuntimeError with ffmpeg's last words where it breaks off. It is stopped where no more is
    wanted.
    """
    import av

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *arguments]
    with TemporaryFile() as words:
        process = subprocess.Popen(
            [*command, "-c:v", "rawvideo", "-f", "nut", "-"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, cwd=folder,
            process_group=None if sys.platform == "win32" else 0,  # Ctrl-C is ours to answer
        )  # fmt: skip
        assert process.stdout is not None
        try:
            try:
                with av.open(process.stdout, "r", format="nut", buffer_size=1 << 20) as container:
                    for packet in container.demux(video=0):
                        if packet.pts is not None:
                            time = packet.pts * packet.time_base
                            yield time, np.frombuffer(memoryview(packet), np.uint8)
            except av.FFmpegError:  # no frame in it, or a part of one
                process.stdout.close()
            if process.wait() != 0:
                raise RuntimeError(_last_words(words))
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _pipe(
    frames: Iterable[Frames], fps: float, options: Sequence[str], folder: Path | None = None
) -> tuple[int, str]:
    """ffmpeg, run in `folder`, with raw frames as its input: its exit code and last words."""
    frames = iter(frames)
    first = next(frames)
    height, width = first.shape[:2]
    # as a ratio: 24000/1001 has no end as a decimal
    rate = Fraction(fps).limit_denominator(1001)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
    with TemporaryFile() as words:
        process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words, cwd=folder,
        )  # fmt: skip
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError), process.stdin:  # its exit code tells more
                for frame in chain([first], frames):
                    process.stdin.write(np.ascontiguousarray(frame).data)
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        return code, _last_words(words)


def _last_words(words: IO[bytes]) -> str:
    words.seek(0)
    return words.read().decode(errors="replace").strip()
