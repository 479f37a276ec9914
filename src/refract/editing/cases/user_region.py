"""The region that the user gave, as the model takes it."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from refract.base.errors import InputError
from refract.editing.samplers.given_region import latent_mask
from refract.media.region_mask import read_region, soften
from refract.models.wan import WanModel

if TYPE_CHECKING:  # what a request is decides nothing here
    from refract.editing.cases.request import ShotRequest

_SOFT = 0.03  # of the frame's shorter side: how far a rough region is grown, and fades after that


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
