"""The frame in which a clip is edited: its own aspect, a model's multiples, a bounded area."""

from typing import NamedTuple

LEAST_PX = 32  # of a side
MOST_CUT = 0.02  # a side, as a share of the clip's width or height


class FrameSize(NamedTuple):
    """cut: share of the clip's width or height that is lost at each of two opposite sides."""

    width: int
    height: int
    cut: float


def auto_frame(width: int, height: int, area: int, multiple: int) -> FrameSize:
    """The frame for a clip of width x height: at most `area` pixels, sides multiples of `multiple`.

    Of the frames to which the clip is scaled with at most `MOST_CUT` cut off a side, the largest,
    and of these the one that cuts least; where there is none, the one that cuts least of all.
    Raises ValueError for an area that holds no frame of `LEAST_PX` a side.
    """
    least = -(-LEAST_PX // multiple) * multiple
    frames = [
        FrameSize(w, h, cut_share(width, height, w, h))
        for w in range(least, area // least + 1, multiple)
        for h in range(least, area // w + 1, multiple)
    ]
    if not frames:
        raise ValueError(f"no frame of {least} x {least} pixels within {area}")
    fitting = [frame for frame in frames if frame.cut <= MOST_CUT]
    if not fitting:
        return min(frames, key=lambda frame: (frame.cut, -frame.width * frame.height))
    return max(fitting, key=lambda frame: (frame.width * frame.height, -frame.cut))


def cut_share(width: int, height: int, to_width: int, to_height: int) -> float:
    """What `fit_frame` cuts off each of two opposite sides, as a share of that axis of the clip."""
    across, down = width * to_height, height * to_width
    return (1 - min(across, down) / max(across, down)) / 2
