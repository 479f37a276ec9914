"""A shot and its region as the model takes them: fitted to the frame, as long as latents pack."""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from refract.base.errors import InputError
from refract.editing.cases.outputs import SOURCE_CLIP
from refract.editing.samplers.given_region import latent_mask
from refract.media.region_mask import read_region, soften
from refract.media.video_io import Frames, fit_frame, read_frames, write_frames
from refract.models.wan import WanModel

if TYPE_CHECKING:  # what a request is decides nothing here
    from refract.editing.cases.request import ShotRequest

_SOFT = 0.03  # of the frame's shorter side: how far a rough region is grown, and fades after that


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


def read_user_region(model: WanModel, request: "ShotRequest", path: Path) -> Tensor:
    """The user's region (f, h, w) in 0..1 on the latents of the shot; its errors name the key."""
    (first, count), (width, height) = request.shot, request.frame
    soft_px = _SOFT * min(width, height)
    drawn = read_region(path, first, count, request.frame, fps=request.case.fps)
    try:
        masks = [soften(region, soft_px, soft_px) for region in drawn]
    except InputError as error:
        raise InputError(f"cases.{request.name}.region_mask: {error}") from error
    masks += masks[-1:] * (model.padded(count) - count)
    pixels = model.vae.config.scale_factor_spatial
    return latent_mask(masks, height // pixels, width // pixels).to(model.device)
