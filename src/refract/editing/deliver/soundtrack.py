"""The template's sound in the deliverable: its own packets, byte by byte, on the same clock."""

import hashlib
import logging
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer

from refract.media.clip_facts import open_clip

logger = logging.getLogger(__name__)

# What players of MP4 play. PCM and Vorbis have a place in it too, but hardly one reads them there.
_CARRIED = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "dts", "alac", "flac", "opus"})
_SPARE, _SPARE_BITS, _SPARE_HZ = "aac", 192_000, 48_000  # bits a second; where its own will not do
_LAYOUTS = {1: "mono", 6: "5.1"}  # by channels; stereo for every other number


def reencoded_sound(template: Path) -> list[str]:
    """The streams of sound that MP4 does not carry as they are, in words; empty for most."""
    with open_clip(template) as container:
        codecs = [_codec(stream) for stream in container.streams.audio]
    return [f"sound {codec} re-encoded as {_SPARE}" for codec in codecs if codec not in _CARRIED]


def sound_digests(path: Path) -> list[str]:
    """sha256 of what each stream of sound of a file holds, packet after packet.

    Without the headers that AAC has in a transport stream and not in MP4.
    """
    with open_clip(path) as container:
        streams = container.streams.audio
        hashes = {stream.index: hashlib.sha256() for stream in streams}
        bare = {
            stream.index: BitStreamFilterContext("aac_adtstoasc", stream)
            for stream in streams
            if _codec(stream) == "aac"
        }
        for packet in container.demux(*streams) if streams else ():
            index = packet.stream.index
            content = bare[index].filter(packet) if packet.size and index in bare else [packet]
            for part in content:
                hashes[index].update(bytes(part))
    return [digest.hexdigest() for digest in hashes.values()]


class _Track(Protocol):
    """One stream of sound on its way into the output."""

    def packets(self, packet: av.Packet) -> list[av.Packet]:
        """What is to be muxed once this packet of the template is read; an empty one ends it."""


class Soundtrack:
    """Muxes all sound of a template, in step with the picture: only little is held at a time."""

    def __init__(self, template: InputContainer, output: OutputContainer) -> None:
        self._output = output
        self._start = Fraction(template.start_time or 0, av.time_base)
        streams = template.streams.audio
        self._tracks: dict[int, _Track] = {}
        for stream in streams:
            kind = _Copied if _codec(stream) in _CARRIED else _Reencoded
            self._tracks[stream.index] = kind(stream, output, self._start)
        self._packets = template.demux(*streams) if streams else iter(())
        self._ended = False

    def mux_until(self, time: Fraction | None = None) -> None:
        """Up to `time`, in seconds from the container's start; None: to the end."""
        while not self._ended:
            packet = next(self._packets, None)
            if packet is None:
                self._ended = True
                return
            began = self._time(packet)
            self._output.mux(self._tracks[packet.stream.index].packets(packet))
            if time is not None and began is not None and began >= time:
                return

    def _time(self, packet: av.Packet) -> Fraction | None:
        if packet.pts is None or packet.time_base is None:
            return None
        return packet.pts * packet.time_base - self._start


class _Copied:
    def __init__(self, stream: AudioStream, output: OutputContainer, start: Fraction) -> None:
        assert stream.time_base is not None
        self._stream = output.add_stream_from_template(stream)
        self._shift = round(start / stream.time_base)

    def packets(self, packet: av.Packet) -> list[av.Packet]:
        if packet.size == 0 or packet.pts is None:
            return []
        packet.pts -= self._shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - self._shift
        packet.stream = self._stream
        return [packet]


class _Reencoded:
    def __init__(self, stream: AudioStream, output: OutputContainer, start: Fraction) -> None:
        given = stream.codec_context
        rates = av.Codec(_SPARE, "w").audio_rates or []
        rate = given.sample_rate if given.sample_rate in rates else _SPARE_HZ
        layout = _LAYOUTS.get(given.channels, "stereo")
        made = output.add_stream(
            _SPARE, rate=rate, layout=layout, bit_rate=_SPARE_BITS, options={"flags": "+bitexact"}
        )
        self._stream = cast(AudioStream, made)
        self._resampler = av.AudioResampler("fltp", layout, rate)
        self._start = start
        logger.warning(
            "sound %s is re-encoded as %s: MP4 does not carry it", _codec(stream), _SPARE
        )

    def packets(self, packet: av.Packet) -> list[av.Packet]:
        decoded = cast(list[AudioFrame], packet.decode())
        frames = [part for frame in decoded for part in self._resampler.resample(frame)]
        if packet.size == 0:
            frames += self._resampler.resample(None)
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(self._start / frame.time_base)
        ended: list[AudioFrame | None] = [None] if packet.size == 0 else []
        return [made for frame in [*frames, *ended] for made in self._stream.encode(frame)]


def _codec(stream: AudioStream) -> str:
    return stream.codec_context.codec.canonical_name
