"""FLUX Fill conditioning of a diptych [visible | infrared] whose right half is to be filled.

The layout equals diffusers' `FluxFillPipeline` (a test holds it to `prepare_mask_latents`):
tokens of the masked picture (64 channels) followed by tokens of the mask (256).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor

from refract.models.flux_tokens import pack_latents, pack_mask

# Pictures [B, 3, H, W] in [-1, 1] to latents [B, C, H/s, W/s], shifted and scaled as FLUX does.
Encode = Callable[[Tensor], Tensor]

MASKED_PIXEL = 0.0  # FluxFillPipeline multiplies the picture in [-1, 1] by (1 - mask)


class TriptychTokens(NamedTuple):
    """Packed latents of a batch of triptychs; panels of P x P pixels, n = (P / 16)^2 tokens."""

    x_0: Tensor  # [B, 2n, 64] the diptych
    masked: Tensor  # [B, 2n, 64] the diptych with its right half blank
    semantic: Tensor  # [B, n, 64] the semantic panel


def encode_images_fill(
    encode: Encode, visible: Tensor, infrared: Tensor | None = None
) -> tuple[Tensor | None, Tensor]:
    """x_0 [B, 2n, 64] (None without infrared) and x_cond [B, 2n, 320] of a diptych.

    visible, infrared: [B, 3, P, P] in [-1, 1]. The mask is 1 on the right half.
    """
    x_0 = None
    if infrared is not None:
        x_0 = pack_latents(encode(torch.cat([visible, infrared], -1)))
    masked = encode_masked(encode, visible)
    return x_0, with_mask(masked, visible.shape[-1])


def encode_masked(encode: Encode, visible: Tensor) -> Tensor:
    """Tokens [B, 2n, 64] of the diptych whose right half is blank."""
    blank = torch.full_like(visible, MASKED_PIXEL)
    return pack_latents(encode(torch.cat([visible, blank], -1)))


def with_mask(masked: Tensor, panel_px: int) -> Tensor:
    """Append the packed mask of a diptych to its tokens: [B, 2n, 64] -> [B, 2n, 320]."""
    mask = torch.zeros(1, 1, panel_px, 2 * panel_px, dtype=masked.dtype, device=masked.device)
    mask[..., panel_px:] = 1
    return torch.cat([masked, pack_mask(mask).expand(len(masked), -1, -1)], -1)


def tile_panel(tokens: Tensor, columns: int) -> Tensor:
    """Repeat one panel's tokens over both panels: [B, n, C] -> [B, 2n, C]; `columns` of a panel."""
    return repeat(tokens, "b (h w) c -> b (h two w) c", w=columns, two=2)


def replace_right(tokens: Tensor, panel: Tensor, columns: int) -> Tensor:
    """Diptych tokens [B, 2n, C] with the right panel replaced by `panel` [B, n, C]."""
    left = rearrange(tokens, "b (h two w) c -> b two h w c", two=2, w=columns)[:, 0]
    right = rearrange(panel, "b (h w) c -> b h w c", w=columns)
    return rearrange(torch.stack([left, right], 1), "b two h w c -> b (h two w) c")


def fuse_pixels(visible: Tensor, semantic: Tensor, alpha: float | Tensor) -> Tensor:
    """The `pixel_fusion` baseline: (1 - alpha) visible + alpha semantic, both [B, 3, P, P]."""
    return (1 - alpha) * visible + alpha * semantic
