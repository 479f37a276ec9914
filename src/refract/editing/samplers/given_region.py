"""A mask of the user's in the place of the region that cross-attention shows."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from refract.base.errors import InputError
from refract.editing.samplers.flowalign import ZetaMap


def latent_mask(masks: Iterable[NDArray[np.generic]], rows: int, columns: int) -> Tensor:
    """Masks of a clip's frames, brought onto its latents.

    Args:
        masks: [H, W] each, 4k + 1 of them; 0..1 or boolean, more is more of the edit.
        rows, columns: of the latents.
    Returns:
        (1 + k, rows, columns) float32 in 0..1: in space the share of the area, in time the largest
        of the frames that a latent stands for, one for the first and four for each other one.
    Raises:
        ValueError: for another number of masks.
    """
    pooled = [
        adaptive_avg_pool2d(torch.from_numpy(np.asarray(mask, np.float32))[None], (rows, columns))
        for mask in masks
    ]
    if len(pooled) % 4 != 1:
        raise ValueError(f"{len(pooled)} masks: must be 4k + 1")
    shares = torch.cat(pooled)
    if len(shares) == 1:
        return shares
    return torch.cat([shares[:1], shares[1:].unflatten(0, (-1, 4)).amax(1)])


def given_region(mask: Tensor, zeta: float, zeta_outside: float | None) -> ZetaMap:
    """FlowAlign's zeta: `zeta` where the mask is 1, `zeta_outside` where it is 0, between by share.

    Args:
        mask: (f, h, w) in 0..1, of latents, as `latent_mask` gives it.
        zeta_outside: >= 0; None is an InputError, since a mask without it would do nothing.
    Returns:
        Gives (1, 1, f, h, w) at every step.
    """
    if zeta_outside is None:
        raise InputError(
            "region_mask keeps what is outside it by flowalign.region.zeta_outside, which is null: "
            "set it to a number above flowalign.zeta, up to 1"
        )
    inside, outside = (torch.full_like(mask, value) for value in (zeta, zeta_outside))
    weights = outside.lerp(inside, mask)[None, None]  # exact at both ends
    return lambda _step, _sigma: weights
