"""FLUX token layout: 2 x 2 latent patches, pixel masks folded into channels, token coordinates.

Equal to `_pack_latents`, `_unpack_latents` and the mask part of `prepare_mask_latents` in
diffusers' `FluxFillPipeline` (a test compares them).
"""

import torch
from einops import rearrange
from torch import Tensor

PATCH = 2  # latent pixels a token side
VAE_SCALE = 8  # picture pixels a latent pixel side, the same in every FLUX VAE
TOKEN_PX = PATCH * VAE_SCALE  # picture pixels a token side


def pack_latents(latents: Tensor) -> Tensor:
    """Latents [B, C, H, W] to tokens [B, H/2 * W/2, 4C]; H and W must be even."""
    height, width = latents.shape[-2:]
    if height % PATCH or width % PATCH:
        raise ValueError(f"latent height and width must be even, got {tuple(latents.shape)}")
    return rearrange(latents, "b c (h p) (w q) -> b (h w) (c p q)", p=PATCH, q=PATCH)


def unpack_latents(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """Tokens [B, rows * columns, 4C] back to latents [B, C, 2 * rows, 2 * columns]."""
    if tokens.shape[1] != rows * columns:
        raise ValueError(f"{rows} x {columns} tokens expected, got {tuple(tokens.shape)}")
    return rearrange(
        tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=rows, w=columns, p=PATCH, q=PATCH
    )


def pack_mask(mask: Tensor, vae_scale: int = VAE_SCALE) -> Tensor:
    """Pixel mask [B, 1, H, W] to tokens [B, N, 4 * vae_scale^2].

    Nothing is averaged: each latent pixel carries its vae_scale x vae_scale mask pixels as
    channels, each token four latent pixels.
    """
    height, width = mask.shape[-2:]
    if height % (PATCH * vae_scale) or width % (PATCH * vae_scale):
        raise ValueError(
            f"mask sides must be multiples of {PATCH * vae_scale}, got {tuple(mask.shape)}"
        )
    folded = rearrange(mask, "b 1 (h r) (w s) -> b (r s) h w", r=vae_scale, s=vae_scale)
    return pack_latents(folded)


def image_ids(rows: int, columns: int) -> Tensor:
    """Rotary position ids [rows * columns, 3] as FLUX wants them: (0, row, column)."""
    row, column = torch.meshgrid(
        torch.arange(rows, dtype=torch.float32),
        torch.arange(columns, dtype=torch.float32),
        indexing="ij",
    )
    return rearrange(torch.stack([torch.zeros_like(row), row, column], -1), "h w d -> (h w) d")


def panel_grid(rows: int, columns: int, panels: int) -> Tensor:
    """Panel-relative (row, column) of each token, [rows * panels * columns, 2], in tokens.

    `columns` counts the tokens of one panel. Tokens that show the same place in different panels
    get the same coordinates, so a semantic token sits on top of its image tokens.
    """
    grid = image_ids(rows, panels * columns)[:, 1:]
    return torch.stack([grid[:, 0], grid[:, 1] % columns], -1)


def right_half(rows: int, columns: int) -> Tensor:
    """Boolean [rows * columns]: True for tokens in the right half of a rows x columns image."""
    return image_ids(rows, columns)[:, 2] >= columns / 2
