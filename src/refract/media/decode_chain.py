"""The filters that make of a clip's frames what a player shows, in the one form we work on.

Upright (ffmpeg turns them first), progressive, square pixels, even sides, 8 bits of SDR colours.
"""

from fractions import Fraction
from typing import Literal

from refract.media.clip_facts import ClipFacts
from refract.media.ffmpeg import SCALER_FLAGS
from refract.media.wide_colours import BT2020, HDR, is_wide, sdr_filters

Layout = Literal["rgb", "yuv"]

_UNSPECIFIED = 2  # matrix, by ITU-T H.273
_FORMATS = {"rgb": "rgb24", "yuv": "yuv420p"}


def decode_chain(
    facts: ClipFacts, fps: float | None, first: int, count: int | None, layout: Layout
) -> str:
    """ffmpeg's filter graph for `count` frames from `first` on, of those `fps` a second.

    A clip of wide colours needs the file that `wide_colours.write_curve` writes.
    """
    filters = [f"setpts=round(PTS-{facts.start}/TB)"] if facts.start else []
    if facts.pixel_format.startswith("yuv") and "yuva" not in facts.pixel_format:
        filters.append("bwdif=mode=send_frame:deint=interlaced")  # leaves what is not marked so
    if fps is not None:
        filters.append(f"fps={Fraction(fps).limit_denominator(1001)}")
    if first or count is not None:
        end = "" if count is None else f":end_frame={first + count}"
        filters.append(f"trim=start_frame={first}{end}")
    width, height = facts.scaled
    matrix = _matrix(facts)
    primaries, transfer, _ = facts.colours
    if is_wide(primaries, transfer):
        filters += sdr_filters(primaries, transfer, matrix)
        matrix = "auto"
    target = ":out_color_matrix=bt709:out_range=tv" if layout == "yuv" else ""
    filters.append(f"scale={width}:{height}:in_color_matrix={matrix}{target}:flags={SCALER_FLAGS}")
    if facts.scaled != (facts.width, facts.height):
        filters.append(f"crop={facts.width}:{facts.height}:0:0")
    return ",".join([*filters, f"format={_FORMATS[layout]}"])


def _matrix(facts: ClipFacts) -> str:
    """How RGB was coded: as tagged, else by what else is, else as cameras of that size do."""
    primaries, transfer, matrix = facts.colours
    if matrix != _UNSPECIFIED or not facts.pixel_format.startswith("yuv"):
        return "auto"
    if primaries == BT2020 or transfer in HDR:
        return "bt2020"
    width, height = facts.coded_size
    return "bt709" if height >= 720 or width >= 1280 else "bt601"
