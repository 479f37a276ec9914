"""The training pairs of the image base, encoded as FluxFillPipeline encodes its inputs.

A pair is a diptych [left photo | task applied to it] and the mask of what to fill. The masked
image is blanked in pixels (0 in [-1, 1]) and then encoded as a whole, never panel by panel: the
autoencoder's group normalisation sees both halves.
"""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import FluxFillPipeline
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from backbones.image.bank import Bank
from backbones.image.pixels import to_pixels
from backbones.image.tasks import (
    CLASS_MAP,
    INPAINT,
    PALETTES,
    PHOTOMETRIC,
    RELIT,
    photometric,
    repaint,
)

# How often each group of tasks is drawn.
WEIGHTS = {"photometric": 6.5, "palette": 6.0, "class map": 2.0, "relit": 2.5, "inpaint": 1.5}
DAY_LEFT = 0.7  # share of day photos where the task asks for classes: by night few can be seen
HIDDEN_HALF = 0  # row 0 of the mask table: the whole right panel


@dataclass(frozen=True)
class Pair:
    scene: int
    night: bool  # of the left photo
    phrase: str
    mask: int  # row of the mask table


def draw_pairs(bank: Bank, count: int, masks: int, random: np.random.Generator) -> list[Pair]:
    """`count` random tasks on random scenes; `masks` is the length of the mask table."""
    groups = list(WEIGHTS)
    odds = np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())
    pairs = []
    for _ in range(count):
        group = str(random.choice(groups, p=odds))
        scene = int(random.integers(len(bank["night"])))
        night = bool(random.random() < 0.5)
        if group in ("palette", "class map"):
            night = bool(random.random() > DAY_LEFT)
        phrases = {
            "photometric": PHOTOMETRIC,
            "palette": list(PALETTES),
            "class map": [CLASS_MAP],
            "relit": [RELIT[not night]],
            "inpaint": [INPAINT],
        }
        phrase = str(random.choice(phrases[group]))
        mask = int(random.integers(1, masks)) if group == "inpaint" else HIDDEN_HALF
        pairs.append(Pair(scene, night, phrase, mask))
    return pairs


def mask_table(panel_px: int, count: int, random: np.random.Generator) -> Tensor:
    """[count, 1, P, 2P], 1 = fill. Row 0 hides the right panel, the others a rectangle of it."""
    masks = torch.zeros(count, 1, panel_px, 2 * panel_px)
    masks[HIDDEN_HALF, ..., panel_px:] = 1
    for mask in masks[1:]:
        h, w = random.integers(panel_px // 4, panel_px, 2)
        y, x = random.integers(0, panel_px - h + 1), random.integers(0, panel_px - w + 1)
        mask[:, y : y + h, panel_px + x : panel_px + x + w] = 1
    return masks


def panels(bank: Bank, pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The left and right panel [P, P, 3] of a pair."""
    as_drawn = bool(bank["night"][pair.scene]) == pair.night
    left = bank["visible" if as_drawn else "relit"][pair.scene]
    other = bank["relit" if as_drawn else "visible"][pair.scene]
    if pair.phrase in PHOTOMETRIC:
        return left, photometric(pair.phrase, left)
    if pair.phrase in PALETTES:
        return left, repaint(pair.phrase, left, bank["labels"][pair.scene])
    rights = {CLASS_MAP: bank["semantic"][pair.scene], INPAINT: left}
    return left, rights.get(pair.phrase, other)


@torch.no_grad()
def encode_whole(pipeline: FluxFillPipeline, diptych: Tensor) -> Tensor:
    """Pixels [B, 3, H, W] in [-1, 1] -> packed, normalised latents x_0 [B, N, 64]."""
    vae = pipeline.vae
    z = vae.encode(diptych).latent_dist.mode().float()
    z = (z - vae.config.shift_factor) * vae.config.scaling_factor
    return pipeline._pack_latents(z, *z.shape)


@torch.no_grad()
def encode_masked(pipeline: FluxFillPipeline, diptych: Tensor, mask: Tensor) -> Tensor:
    """x_cond [B, N, 320]: packed latents of the masked diptych and the packed mask.

    diptych [B, 3, H, W] in [-1, 1], mask [B, 1, H, W]. The packing is the pipeline's own; it takes
    latents in place of pixels, which lets us pass the mode of the posterior and not a sample.
    """
    batch, _, height, width = diptych.shape
    z = pipeline.vae.encode(diptych * (1 - mask)).latent_dist.mode().float()
    packed_mask, packed = pipeline.prepare_mask_latents(
        mask, z, batch, z.shape[1], 1, height, width, z.dtype, z.device, None
    )
    return torch.cat([packed, packed_mask], dim=-1)


@dataclass
class Encoded:
    """All pairs in latent space; x_0 and the masked latents in fp16 to save memory."""

    x_0: Tensor  # [pairs, N, 64]
    masked: Tensor  # [photos, N, 64]
    masked_row: Tensor  # [pairs] row of `masked`
    packed_masks: Tensor  # [masks, N, 256]
    mask_row: Tensor  # [pairs]
    prompt_row: Tensor  # [pairs]

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(x_0 [B, N, 64], x_cond [B, N, 320], prompt rows [B])."""
        masked = self.masked[self.masked_row[rows]].float()
        x_cond = torch.cat([masked, self.packed_masks[self.mask_row[rows]]], dim=-1)
        return self.x_0[rows].float(), x_cond, self.prompt_row[rows]


def encode_pairs(
    pipeline: FluxFillPipeline,
    bank: Bank,
    pairs: list[Pair],
    masks: Tensor,
    phrases: list[str],
    *,
    rough: bool = False,
) -> Encoded:
    """Encode every diptych, and every masked diptych once (tasks on one photo share it).

    `rough` encodes in bfloat16, twice as fast; its rounding is far below the autoencoder's error.
    """
    keys = [
        (pair.scene, pair.night, pair.mask, i if pair.mask else 0) for i, pair in enumerate(pairs)
    ]
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    row_of = {key: row for row, key in enumerate(first)}
    chosen = [pairs[i] for i in first.values()]
    x_0, masked, offset = [], [], 0
    for stack in _stacks(bank, pairs, "encode diptychs"):
        with torch.autocast("cpu", torch.bfloat16, enabled=rough):
            x_0.append(encode_whole(pipeline, stack).half())
    for stack in _stacks(bank, chosen, "encode masked diptychs"):
        rows = [pair.mask for pair in chosen[offset : offset + len(stack)]]
        with torch.autocast("cpu", torch.bfloat16, enabled=rough):
            masked.append(encode_masked(pipeline, stack, masks[rows])[..., :64].half())
        offset += len(stack)
    blank = torch.zeros(len(masks), 3, *masks.shape[-2:])
    return Encoded(
        x_0=torch.cat(x_0),
        masked=torch.cat(masked),
        masked_row=torch.tensor([row_of[key] for key in keys]),
        packed_masks=encode_masked(pipeline, blank, masks)[..., 64:].contiguous(),
        mask_row=torch.tensor([pair.mask for pair in pairs]),
        prompt_row=torch.tensor([phrases.index(pair.phrase) for pair in pairs]),
    )


def _stacks(bank: Bank, pairs: list[Pair], name: str, batch: int = 8) -> Iterator[Tensor]:
    """Diptychs [<= batch, 3, P, 2P] in order."""
    for start in tqdm(range(0, len(pairs), batch), desc=name, mininterval=20):
        images = [np.concatenate(panels(bank, p), axis=1) for p in pairs[start : start + batch]]
        yield to_pixels(np.stack(images))
