"""Writing the deliverable: each frame encoded as it is made, the sound beside it."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from refract.base.atomic import write_atomic
from refract.editing.deliver.composing import Weight
from refract.editing.deliver.final_frames import FinalFrame, final_frames
from refract.editing.deliver.outputs import FINAL_CLIP, REGION_CLIP
from refract.editing.deliver.replaced_region import EditedShot
from refract.editing.deliver.soundtrack import Soundtrack
from refract.media.clip_facts import ClipFacts, clip_facts, open_clip
from refract.params.deliver import Deliver

_BT709, _LIMITED = 1, 1  # of ITU-T H.273, of libav
_LEAST_TICKS = 90_000  # a second: what any container's times are told by
_BITEXACT = {"fflags": "+bitexact"}
_MP4 = _BITEXACT | {"movflags": "+faststart", "movie_timescale": str(_LEAST_TICKS)}
# No frame is kept for later than it is shown (B): so each has its own duration, the last one too.
# A number of threads of its own, since equal bytes are of equal threads.
_H264 = {
    "preset": "medium", "flags": "+bitexact", "bf": "0",
    "x264-params": "threads=4:lookahead-threads=1:sliced-threads=0",
}  # fmt: skip


def write_final(
    folder: Path,
    template: Path,
    shots: Sequence[EditedShot],
    settings: Deliver,
    *,
    fps: float | None = None,
    region_mask: Path | None = None,
    on_frame: Callable[[], object] = lambda: None,
) -> None:
    """Write final.mp4 and region.mkv, each complete or not at all.

    final.mp4 has the template's size, times, length and sound; its picture is H.264, yuv420p,
    BT.709. region.mkv holds the weight of the edited pixels, gray, without loss: 0 where the
    template's own are, 255 where the edit's. `shots` count frames of the template at `fps`
    (None: its own). region_mask: the user's region, as `read_region` takes it; None for what the
    edits changed. on_frame: called once a frame.

    Raises InputError: a clip cannot be decoded, or a shot is of frames the template does not have.
    """
    facts = clip_facts(template)
    frames = _timed(final_frames(template, shots, settings, fps, region_mask), facts, fps)
    rate = Fraction(fps or facts.fps).limit_denominator(1001)

    def encode(final: Path, region: Path) -> None:
        h264 = _H264 | {"crf": str(settings.quality)}
        with (
            open_clip(template) as given,
            av.open(final, "w", "mp4", options=_MP4) as output,
            av.open(region, "w", "matroska", options=_BITEXACT) as matte,
        ):
            picture = _Track(output, "libx264", "yuv420p", facts, rate, h264)
            weights = _Track(matte, "ffv1", "gray", facts, rate, {"flags": "+bitexact"})
            sound = Soundtrack(given, output)
            for frame, length in frames:
                picture.write(frame.planes, frame.time, length)
                weights.write(frame.weight, frame.time, length)
                sound.mux_until(frame.time)
                on_frame()
            picture.end()
            weights.end()
            sound.mux_until()

    write_atomic(
        folder / REGION_CLIP,
        lambda region: write_atomic(folder / FINAL_CLIP, lambda final: encode(final, region)),
    )


def _timed(
    frames: Iterator[FinalFrame], facts: ClipFacts, fps: float | None
) -> Iterator[tuple[FinalFrame, Fraction]]:
    """Each frame with its length in seconds: until the next one, or until the template ends."""
    length = 1 / Fraction(fps or facts.fps)
    frame = next(frames)
    for following in frames:
        length = following.time - frame.time
        yield frame, length
        frame = following
    if fps is None and facts.duration > frame.time:
        length = Fraction(facts.duration) - frame.time
    yield frame, length


class _Track:
    """The one stream of pictures of an output."""

    def __init__(
        self,
        output: OutputContainer,
        codec: str,
        pixels: str,
        facts: ClipFacts,
        rate: Fraction,
        options: dict[str, str],
    ) -> None:
        self._output, self._pixels = output, pixels
        self._stream = cast(VideoStream, output.add_stream(codec, rate=rate, options=options))
        self._stream.width, self._stream.height = facts.width, facts.height
        self._stream.pix_fmt = pixels
        context = self._stream.codec_context
        self._tick = Fraction(1, rate.numerator * -(-_LEAST_TICKS // rate.numerator))
        context.time_base = self._tick
        if pixels == "yuv420p":
            context.color_primaries = context.color_trc = context.colorspace = _BT709
            context.color_range = _LIMITED
        self._lengths = deque[int]()

    def write(self, picture: NDArray[np.uint8], time: Fraction, length: Fraction) -> None:
        frame = av.VideoFrame.from_ndarray(picture, self._pixels)
        frame.pts, frame.time_base = round(time / self._tick), self._tick
        self._lengths.append(round(length / self._tick))
        self._mux(self._stream.encode(frame))

    def end(self) -> None:
        self._mux(self._stream.encode(None))

    def _mux(self, packets: Sequence[av.Packet]) -> None:
        for packet in packets:  # in the order of the frames
            packet.duration = self._lengths.popleft()
            self._output.mux(packet)


def read_weights(path: Path) -> Iterator[Weight]:
    """The weights of region.mkv, frame by frame."""
    with open_clip(path) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray().astype(np.uint8, copy=False)
