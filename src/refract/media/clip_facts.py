"""What a clip is, told before a frame of it is wanted: its picture, size, rate, colours, sound.

Read by PyAV. A clip is one file that holds its frames: what would lead to other files or the
network (playlists, `concat:`, patterns of file names) is refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from refract.base.errors import InputError

if TYPE_CHECKING:  # a fifth of a second, and most who import the types of clips read none
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Demuxers that read one file alone. Of hls, concat, image2, dash, mpjpeg and the like none is here.
_CONTAINERS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,obu,ivf,ogg,flv,asf,nut,mxf,dv,gif,apng,"
    "yuv4mpegpipe"
)
_MOST_PX = 1 << 26  # of a frame: 8192 x 8192
INPUT_OPTIONS = {  # what libav is told before it opens a clip
    "protocol_whitelist": "file", "format_whitelist": _CONTAINERS, "max_pixels": str(_MOST_PX),
}  # fmt: skip


class Colours(NamedTuple):
    """Code points of ITU-T H.273; 2 is unspecified."""

    primaries: int
    transfer: int
    matrix: int


class _Shown(NamedTuple):
    """From when and how long (s; 0 is unknown)."""

    start: Fraction
    length: Fraction


class ClipFacts(NamedTuple):
    """A clip as a player shows it.

    stream: index of the picture's stream. scaled: width and height of upright, square pixels.
    width, height: those without an odd last column or row. fps: mean rate of its frames. tick: what
    their times are rounded to (s). start: first time of any stream, on the clip's own clock (s).
    duration: from there to the end of the last frame (s). frames: as the container says.
    coded_size: width and height as coded.
    """

    stream: int
    scaled: tuple[int, int]
    width: int
    height: int
    fps: float
    tick: Fraction
    start: Fraction
    duration: float
    frames: int
    has_sound: bool
    coded_size: tuple[int, int]
    codec: str
    pixel_format: str
    colours: Colours


def clip_facts(path: Path) -> ClipFacts:
    """The facts of a clip; its packets are all read, and a frame is decoded.

    Raises InputError as `open_clip`, and for a clip without a picture that can be decoded, or with
    one of more than 8192 x 8192 pixels or less than 2 x 2.
    """
    with open_clip(path) as container:
        stream = _picture_stream(container, path)
        frame, shown = _survey(container, stream)
        if frame is None or not shown:
            raise undecodable(path, "no frame in it")
        scaled = _upright_square(frame, stream.sample_aspect_ratio or Fraction(1))
        width, height = (side // 2 * 2 for side in scaled)
        if not 0 < width * height <= _MOST_PX:
            raise undecodable(path, f"frames of {scaled[0]} x {scaled[1]} pixels")
        start = Fraction(container.start_time or 0, 1_000_000)
        tick = stream.time_base or Fraction(1, 1000)
        known = [rate for rate in (stream.average_rate, stream.guessed_rate) if rate]
        times, last = [one.start for one in shown], shown[-1].length
        fps = mean_rate(times, tick, known, last)
        return ClipFacts(
            stream.index, scaled, width, height, fps, tick, start,
            float(times[-1] - start) + (float(last) or 1 / fps), len(times),
            bool(container.streams.audio), (frame.width, frame.height),
            stream.codec_context.name, frame.format.name,
            Colours(frame.color_primaries, frame.color_trc, frame.colorspace),
        )  # fmt: skip


@contextmanager
def open_clip(path: Path) -> Iterator["InputContainer"]:
    """A clip's container, for its facts or its packets.

    Raises InputError for a missing file and for what is no single readable video file, also where
    that is found out by reading on.
    """
    import av

    if not path.is_file():
        raise InputError(f"video {path}: no such file")
    try:
        # without `file:` some names would be taken for addresses or protocols
        container = av.open(f"file:{path.absolute()}", "r", options=INPUT_OPTIONS)
    except av.FFmpegError as error:
        raise undecodable(path, str(error.strerror)) from error
    with container:
        try:
            yield container
        except av.error.InvalidDataError as error:  # others may be of what is written meanwhile
            raise undecodable(path, str(error.strerror)) from error


def undecodable(path: Path, detail: str) -> InputError:
    """The error of a clip that cannot be decoded."""
    return InputError(
        f"video {path}: cannot be decoded ({detail[:120]}); must be one file of MP4, MOV, MKV, "
        "WebM, AVI, MPEG, OGG, FLV, WMV, MXF or GIF"
    )


def mean_rate(
    times: Sequence[Fraction],
    tick: Fraction,
    known: Sequence[Fraction],
    last: Fraction | None = None,
) -> float:
    """Frames a second of frames at `times` (s, rising), of which the last lasts `last` s.

    Where that is not known it is as long as the mean. Containers round times to a `tick`: of the
    rates `known` and the usual ones, the first that the times agree with is taken.
    """
    steps = len(times) if last else len(times) - 1
    length = times[-1] - times[0] + (last or 0)
    if not steps or length <= 0:
        return float(known[0]) if known else 16.0
    rate = steps / length
    near = round(rate)
    for usual in (*known, Fraction(near), Fraction(near * 1000, 1001)):
        if usual and abs(steps / usual - length) <= tick:
            return float(usual)
    return float(rate)


def _picture_stream(container: "InputContainer", path: Path) -> "VideoStream":
    """The one that players show: no cover or thumbnails; the default one, then the largest."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & still]
    if not streams:
        raise undecodable(path, "no moving picture in it")

    def rank(stream: "VideoStream") -> tuple[bool, int]:
        context = stream.codec_context
        return bool(stream.disposition & Disposition.default), context.width * context.height

    return max(streams, key=rank)


def _upright_square(frame: "VideoFrame", pixel_aspect: Fraction) -> tuple[int, int]:
    """Width and height where pixels are square and the frame stands upright; none is lost.

    The side that grows becomes even, so that no row of it has to be cut.
    """
    width, height = frame.width, frame.height
    if abs(frame.rotation) == 90:
        width, height, pixel_aspect = height, width, 1 / pixel_aspect
    if pixel_aspect > 1:
        width = round(width * pixel_aspect / 2) * 2
    elif pixel_aspect < 1:
        height = round(height / pixel_aspect / 2) * 2
    return width, height


def _survey(
    container: "InputContainer", stream: "VideoStream"
) -> tuple["VideoFrame | None", list[_Shown]]:
    """The first frame, and when all are shown, in order.

    By the packets, and by decoded frames where these are interlaced, since two fields may come in
    packets of their own.
    """
    import av

    first: VideoFrame | None = None
    packets: list[_Shown] = []
    frames: list[_Shown] = []
    for packet in container.demux(stream):
        if packet.size and not packet.is_discard:
            packets.append(_shown(packet, packets))
        if first is None or first.interlaced_frame:
            with suppress(av.error.InvalidDataError):  # as ffmpeg goes on with the next one
                for frame in packet.decode():
                    first = first or frame
                    frames.append(_shown(frame, frames))
    return first, sorted(frames if first and first.interlaced_frame else packets)


def _shown(part: "Packet[VideoStream] | VideoFrame", before: Sequence[_Shown]) -> _Shown:
    """When a packet or frame is shown; one without a time follows the one before."""
    tick = part.time_base or Fraction(1, 1000)
    time = part.dts if part.pts is None else part.pts
    start = sum(before[-1]) if before and time is None else (time or 0) * tick
    return _Shown(Fraction(start), (part.duration or 0) * tick)
