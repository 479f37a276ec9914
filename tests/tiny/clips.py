"""Clips as cameras and editors write them, by the ffmpeg binary."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

LOSSLESS = ("-c:v", "ffv1", "-pix_fmt", "gbrp")
H264 = ("-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv444p")


def ffmpeg(
    path: Path, *arguments: str, frames: np.ndarray | None = None, rate: str = "8", form: str = ""
) -> Path:
    """Write `path` anew from raw frames [F, H, W, 3 or 4] or from what the arguments name.

    form: of frames that are no RGB, ffmpeg's name and the size of it ("yuv420p 64x48").
    """
    path.unlink(missing_ok=True)
    source: list[str] = []
    if frames is not None:
        if not form:
            name = "rgba" if frames.shape[-1] == 4 else "rgb24"
            form = f"{name} {frames.shape[2]}x{frames.shape[1]}"
        name, size = form.split()
        source = ["-f", "rawvideo", "-pix_fmt", name, "-s", size, "-r", rate, "-i", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, *arguments]
    given = None if frames is None else np.ascontiguousarray(frames).tobytes()
    subprocess.run([*command, str(path)], input=given, check=True, capture_output=True)
    return path


def marked(count: int, height: int = 48, width: int = 64) -> Pixels:
    """Gray frames [F, H, W, 3], the n-th of level 20 + 4 n."""
    levels = (20 + 4 * np.arange(count)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3))


def mark(pixels: np.ndarray) -> int:
    """Which of the `marked` frames these are the pixels of."""
    return round((float(pixels.mean()) - 20) / 4)


def disc(height: int, width: int, radius: float, squeeze: float = 1.0) -> Pixels:
    """A white disc [1, H, W, 3], its width divided by `squeeze`."""
    y, x = np.mgrid[0:height, 0:width]
    inside = ((x + 0.5 - width / 2) * squeeze) ** 2 + (y + 0.5 - height / 2) ** 2 < radius**2
    return np.repeat((inside * 255).astype(np.uint8)[None, ..., None], 3, -1)
