"""A shot as the model takes it: fitted to the frame, as long as latents pack."""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from refract.editing.cases.outputs import SOURCE_CLIP
from refract.media.video_io import Frames, fit_frame, read_frames, write_frames
from refract.models.wan import WanModel

if TYPE_CHECKING:  # what a request is decides nothing here
    from refract.editing.cases.request import ShotRequest


def write_source_clip(model: WanModel, request: "ShotRequest", path: Path) -> None:
    """Write the shot, fitted to the frame of the edit.

    Raises InputError where the model cannot edit a clip of this shape.
    """
    width, height = request.frame
    model.check_frame(width, height, model.padded(request.shot.frames))
    shown = read_frames(
        Path(request.case.video),
        fps=request.case.fps,
        first=request.shot.first,
        count=request.shot.frames,
    )
    fitted = (fit_frame(frame.pixels, width, height) for frame in shown)
    write_frames(path, fitted, request.fps, "lossless")


def read_source_clip(model: WanModel, request: "ShotRequest", slot: Path) -> Iterator[Frames]:
    """The frames that `write_source_clip` wrote to a slot.

    The last one is repeated as the packing of the video VAE asks.
    """
    last: Frames | None = None
    for frame in read_frames(slot / SOURCE_CLIP):
        last = frame.pixels
        yield last
    assert last is not None
    yield from repeat(last, model.padded(request.shot.frames) - request.shot.frames)
