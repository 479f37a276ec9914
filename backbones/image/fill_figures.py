"""What the image base can do on held-out scenes: PSNR a task beside its ceiling, and a sheet."""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxFillPipeline, FluxTransformer2DModel
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from backbones.image.bank import Bank
from backbones.image.diptychs import (
    HIDDEN_HALF,
    Encoded,
    Pair,
    encode_pairs,
    mask_table,
    panels,
)
from backbones.image.fill_flow import PANEL_PX, encode_prompts, sample_euler
from backbones.image.tasks import PHRASES

# (phrase, the left photo is a night photo)
MEASURED = (
    ("exact copy", False),
    ("grayscale photo", False),
    ("negative", False),
    ("gray negative", False),
    ("edges drawing", False),
    ("class map", False),
    ("recolour alpha", False),
    ("shades three", False),
    ("shades three", True),
    ("night photo", False),
    ("day photo", True),
)
_BATCH = 16
_SHEET_SCENES = 3
_SHEET_QUALITY = 80  # of the JPEG


@dataclass(frozen=True)
class HeldOut:
    """Encoded pairs of every measured task, task by task, and the pixels they came from."""

    data: Encoded
    left: NDArray[np.uint8]  # [tasks * scenes, P, P, 3]
    right: NDArray[np.uint8]
    scenes: int


def encode_held_out(pipeline: FluxFillPipeline, bank: Bank, scenes: int) -> HeldOut:
    """The first `scenes` scenes of `bank` in every measured task."""
    pairs = [
        Pair(scene, night, phrase, HIDDEN_HALF)
        for phrase, night in MEASURED
        for scene in range(scenes)
    ]
    both = [panels(bank, pair) for pair in pairs]
    mask = mask_table(PANEL_PX, 1, np.random.default_rng(0))
    data = encode_pairs(pipeline, bank, pairs, mask, PHRASES)
    left, right = (np.stack([pair[side] for pair in both]) for side in (0, 1))
    return HeldOut(data, left, right, scenes)


@torch.no_grad()
def decode_right(pipeline: FluxFillPipeline, x_0: Tensor) -> NDArray[np.uint8]:
    """Packed latents [B, N, 64] -> right panels [B, P, P, 3]."""
    vae = pipeline.vae
    z = pipeline._unpack_latents(x_0, PANEL_PX, 2 * PANEL_PX, pipeline.vae_scale_factor)
    z = z / vae.config.scaling_factor + vae.config.shift_factor
    pixels = vae.decode(z).sample[..., PANEL_PX:].float()
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def ceiling(pipeline: FluxFillPipeline, held_out: HeldOut) -> NDArray[np.uint8]:
    """The right panels as the autoencoder alone gives them back."""
    parts = held_out.data.x_0.float().split(_BATCH)
    return np.concatenate([decode_right(pipeline, part) for part in parts])


def fill(
    pipeline: FluxFillPipeline, net: FluxTransformer2DModel, held_out: HeldOut, steps: int
) -> NDArray[np.uint8]:
    """The right panels as the base fills them in, by `steps` Euler steps."""
    tokens, pooled = encode_prompts(pipeline, PHRASES)
    random = torch.Generator().manual_seed(0)
    made = []
    for rows in torch.arange(len(held_out.right)).split(_BATCH):
        _, x_cond, prompt = held_out.data.batch(rows)
        x_0 = sample_euler(net, x_cond, (tokens[prompt], pooled[prompt]), steps, random)
        made.append(decode_right(pipeline, x_0))
    return np.concatenate(made)


def psnr_by_task(made: NDArray[np.uint8], held_out: HeldOut) -> dict[str, float]:
    """Mean PSNR (dB) of the scenes of every task; made [tasks * scenes, P, P, 3]."""
    error = np.square((made.astype(np.float32) - held_out.right) / 255).mean((1, 2, 3))
    psnr = (-10 * np.log10(np.maximum(error, 1e-10))).reshape(len(MEASURED), held_out.scenes)
    names = [f"{phrase} {'night' if night else 'day'}" for phrase, night in MEASURED]
    return {name: round(float(row.mean()), 2) for name, row in zip(names, psnr, strict=True)}


def write_sheet(path: Path, made: NDArray[np.uint8], held_out: HeldOut) -> None:
    """A row a task: photo, made and true right panel of a few scenes."""
    triples = np.concatenate([held_out.left, made, held_out.right], axis=2)
    rows = triples.reshape(len(MEASURED), held_out.scenes, *triples.shape[1:])
    rows = rows[:, : min(_SHEET_SCENES, held_out.scenes)]
    sheet = np.concatenate([np.concatenate([*row], axis=1) for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path, quality=_SHEET_QUALITY)
