"""VMAF of a clip against another one, by the libvmaf that ffmpeg was built with.

Netflix's Video Multi-method Assessment Fusion (Li et al. 2016): detail loss, visual information
and motion of the luma, weighed by a regression on people's ratings of 1080p television.
"""

import json
import logging
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio_ffmpeg

from refract.evaluation.measures.product import Frames, Measured, finite_mean
from refract.media.ffmpeg import has_filter, run_filter
from refract.media.video_io import side_by_side

logger = logging.getLogger(__name__)

VMAF_KEY = "background.vmaf"
VMAF_MODEL = "vmaf_v0.6.1"  # built into the library
LEAST_PX = 32  # of a side; libvmaf crashes at 16
_LOG = "vmaf.json"
_ANY_RATE = 16.0  # frames a second; the model does not ask


@cache
def has_vmaf() -> bool:
    """Whether the ffmpeg binary can measure it; says so once where it cannot."""
    if not (there := has_filter("libvmaf")):
        logger.warning("vmaf: ffmpeg was built without libvmaf, so %s is left out", VMAF_KEY)
    return there


@cache
def vmaf_name() -> str:
    """Which model of which program measures it."""
    if not has_vmaf():
        return "none: ffmpeg was built without libvmaf"
    return f"{VMAF_MODEL} of ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"


def vmaf(clip: Frames, truth: Frames) -> list[float]:
    """VMAF of each frame of a clip `[T, H, W, 3]` against the same one of `truth`, 0 to 100.

    At the clips' own size, on BT.601 luma as ffmpeg's scaler makes it; on one thread. Identical
    frames have 97 to 100, the less the less they move: the first one 97.4. nan where a side is
    shorter than `LEAST_PX`.
    """
    height, width = clip.shape[1:3]
    if min(height, width) < LEAST_PX:
        return [float("nan")] * len(clip)
    halves = (f"crop={width}:{height}:{left}:0,format=yuv444p" for left in (0, width))
    graph = "split[a][b];[a]{}[clip];[b]{}[truth];[clip][truth]".format(*halves)
    graph += f"libvmaf=model=version={VMAF_MODEL}:n_threads=1:log_fmt=json:log_path={_LOG}"
    with TemporaryDirectory() as folder:
        run_filter(side_by_side([clip, truth]), _ANY_RATE, graph, Path(folder))
        log = json.loads((Path(folder) / _LOG).read_text(encoding="utf-8"))
    return [frame["metrics"]["vmaf"] for frame in log["frames"]]


def vmaf_measures(kept: Frames, source: Frames) -> Measured:
    """`background.vmaf` of a clip that differs from its source in the background alone."""
    series = vmaf(kept, source)
    return Measured({VMAF_KEY: finite_mean(series)}, {VMAF_KEY: series})
