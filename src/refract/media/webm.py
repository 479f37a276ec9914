"""Clips as any browser shows them: WebM with VP9, equal bytes for equal frames."""

from pathlib import Path
from typing import Literal

from einops import repeat

from refract.media.video_io import Clip, encode

_COLOURS = [  # untagged, they are read as BT.601 by one browser and as BT.709 by the next
    "-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+bitexact",
    "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
    "-color_range", "tv",
]  # fmt: skip
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


def write_webm(path: Path, clip: Clip, effort: Literal["quick", "fine"], enlarge: int = 1) -> None:
    """Write a clip, each pixel `enlarge` times along each side.

    VP9 as browsers play it keeps one colour for 2 x 2 pixels, so small clips are better enlarged.
    """
    frames = repeat(clip.frames, "f h w c -> f (h a) (w b) c", a=enlarge, b=enlarge)
    encode(path, Clip(frames, clip.fps), [*_COLOURS, *_VP9, *_EFFORTS[effort]])
