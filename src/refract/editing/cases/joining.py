"""One clip of several, without decoding them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from refract.base.atomic import write_atomic


def join_clips(paths: Sequence[Path], target: Path) -> None:
    """Write the frames of some lossless clips of ours, alike in size and rate, one after another.

    Equal clips make equal files. Of one clip it is a hard link where the file system allows.
    """
    if len(paths) == 1:
        link(paths[0], target)
    else:
        write_atomic(target, lambda temporary: _join(paths, temporary))


def link(source: Path, target: Path) -> None:
    """Hard link where the file system allows, else copy."""
    target.parent.mkdir(exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        target.write_bytes(source.read_bytes())


def _join(paths: Sequence[Path], target: Path) -> None:
    with av.open(str(target), "w", format="matroska", options={"fflags": "+bitexact"}) as joined:
        stream, behind = None, 0  # frames so far, the unit of time being a frame
        for path in paths:
            with av.open(str(path)) as clip:
                own = clip.streams.video[0]
                frame = 1 / (own.average_rate or Fraction(1))
                if stream is None:
                    stream = joined.add_stream_from_template(own)
                    stream.time_base = frame
                for packet in clip.demux(own):
                    if packet.size:
                        packet.stream, packet.time_base = stream, frame
                        packet.pts = packet.dts = behind
                        packet.duration = 1
                        joined.mux(packet)
                        behind += 1
