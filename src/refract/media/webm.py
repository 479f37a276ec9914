"""Clips as any browser shows them: WebM with VP9, equal bytes for equal frames."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from einops import repeat

from refract.media.ffmpeg import BT709, Frames, encode

_VP9 = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-b:v", "0", "-row-mt", "0"]
# quick: for a page of many clips, with a key frame so often that a seek decodes few frames.
# fine: for eyes that are asked which of two is better.
_EFFORTS = {
    "quick": [
        "-crf", "16", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0",
        "-auto-alt-ref", "0", "-g", "4",
    ],
    "fine": ["-crf", "12", "-deadline", "good", "-cpu-used", "2"],
}  # fmt: skip


def write_webm(
    path: Path,
    frames: Iterable[Frames],
    fps: float,
    effort: Literal["quick", "fine"],
    enlarge: int = 1,
) -> None:
    """Write frames [H, W, 3], held one at a time, each pixel `enlarge` times along each side.

    VP9 as browsers play it keeps one colour for 2 x 2 pixels, so small clips are better enlarged.
    """
    large = (repeat(frame, "h w c -> (h a) (w b) c", a=enlarge, b=enlarge) for frame in frames)
    encode(path, large, fps, [*BT709, *_VP9, *_EFFORTS[effort]])
