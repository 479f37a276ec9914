"""Train the micro video VAE on rendered clips and product photos.

    python -m backbones.video.train_vae --output DIR --state DIR

Writes a diffusers folder with `latents_mean` and `latents_std` measured, curve.csv, sheet.png
and figures.json. Interrupted, it goes on from its last checkpoint in --state.
"""

import argparse
import copy
import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from backbones.checkpoint import load_checkpoint, save_checkpoint
from backbones.moving_average import follow
from backbones.muon import Muon
from backbones.options import begin, recipe_parser
from backbones.progress import Progress
from backbones.video.clips import (
    VALIDATION_STREAM,
    Clip,
    draw_sample,
    to_bytes,
    to_frames,
    to_tensor,
)
from backbones.video.sheet import write_sheet
from backbones.video.vae_model import build_vae

log = logging.getLogger("train_vae")

# (chance, crops a batch, frames, crop pixels): stills teach texture, clips teach time
_BATCHES = ((0.24, 8, 1, 64), (0.60, 4, 5, 48), (0.10, 2, 9, 64), (0.06, 1, 17, 96))
_KL_WEIGHT = 4e-6
_PRODUCT_WEIGHT = 2.0  # the ground is easy: nearly all of the error is in the product
_VALIDATION_CLIPS = 16
_STATISTICS_CLIPS = 48


@dataclass(frozen=True)
class Pool:
    """Rendered once, cropped ever after: RGB and, as a fourth channel, the product's mask.

    clips (n, f, h, w, 4), photos (n, 1, h, w, 4).
    """

    clips: NDArray[np.uint8]
    photos: NDArray[np.uint8]


def render_pool(seed: int, clips: int) -> Pool:
    samples = [draw_sample(seed, index) for index in range(clips)]
    return Pool(
        np.stack([_with_mask(sample.clip) for sample in samples]),
        np.stack([_with_mask(sample.photo) for sample in samples]),
    )


def _with_mask(clip: Clip) -> NDArray[np.uint8]:
    return to_bytes(np.concatenate((clip.video, clip.mask[..., None]), -1))


def draw_batch(pool: Pool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random crops (b, 3, f, p, p) in -1..1, and the product's masks (b, 1, f, p, p) in 0..1."""
    chances = [row[0] for row in _BATCHES]
    _, crops, frames, crop_px = _BATCHES[int(rng.choice(len(_BATCHES), p=chances))]
    parts = []
    for _ in range(crops):
        photo = frames == 1 and rng.random() < 0.25
        source = pool.photos if photo else pool.clips
        clip = source[rng.integers(len(source))]
        first = int(rng.integers(len(clip) - frames + 1))
        top, left = rng.integers(clip.shape[1] - crop_px + 1, size=2)
        parts.append(clip[first : first + frames, top : top + crop_px, left : left + crop_px])
    crops_and_masks = to_tensor(np.stack(parts))
    return crops_and_masks[:, :3], crops_and_masks[:, 3:] / 2 + 0.5


def reconstruction_loss(
    vae: AutoencoderKLWan, x: Tensor, mask: Tensor, noise: torch.Generator
) -> Tensor:
    """Absolute and squared error of pixels, hue, local means and edges, the product's more.

    The absolute error of pixels alone settles on wrong hues.
    """
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(x).latent_dist
        error = (vae.decode(posterior.sample(generator=noise)).sample - x).float()
    red, green, blue = error.unbind(1)
    hue = torch.stack((red - green, blue - green, red - blue), 1)
    local = F.avg_pool3d(torch.cat((error, hue), 1), (1, 4, 4))
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    weight = 1 + _PRODUCT_WEIGHT * mask
    pixels = (weight * (error.abs() + 0.4 * hue.abs() + 4 * error.square())).mean()
    mean, variance = posterior.mean.float(), posterior.var.float()
    kl = 0.5 * (mean**2 + variance - 1 - posterior.logvar.float()).mean()
    return pixels + local.abs().mean() + 0.15 * edges + _KL_WEIGHT * kl


def make_optimisers(vae: AutoencoderKLWan, lr: float) -> dict[str, torch.optim.Optimizer]:
    kernels = [p for p in vae.parameters() if p.ndim >= 4 and min(p.flatten(1).shape) > 1]
    chosen = {id(p) for p in kernels}
    others = [p for p in vae.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(others, lr=lr / 2, betas=(0.9, 0.98), weight_decay=0.0)
    return {"muon": Muon(kernels, lr=lr), "adam": adam}


def set_rate(
    optimisers: dict[str, torch.optim.Optimizer], step: int, steps: int, lr: float
) -> None:
    """Warm up over 30 steps, then a cosine down to 3%."""
    factor = min(1, (step + 1) / 30) * max(0.03, 0.5 + 0.5 * math.cos(math.pi * step / steps))
    for name, share in (("muon", 1.0), ("adam", 0.5)):
        for group in optimisers[name].param_groups:
            group["lr"] = lr * factor * share


def psnr(squared_error: Tensor | float) -> float:
    return -10 * math.log10(float(squared_error))


@torch.no_grad()
def validate(vae: AutoencoderKLWan, seed: int, clips: int, sheet: Path) -> dict[str, float]:
    """PSNR of whole unseen clips and of the product alone; a sheet of source | decoded."""
    whole, product, rows = [], [], []
    for index in range(clips):
        sample = draw_sample(seed, index, stream=VALIDATION_STREAM)
        x = to_tensor(sample.clip.video)[None]
        y = to_frames(vae.decode(vae.encode(x).latent_dist.mode()).sample[0])
        error = (y - sample.clip.video) ** 2
        whole.append(psnr(error.mean()))
        inside = sample.clip.mask[..., None] > 0.5
        product.append(psnr((error * inside).sum() / (3 * inside.sum())))
        rows.append([*sample.clip.video[[0, 8, 16]], *y[[0, 8, 16]]])
    write_sheet(rows, sheet)
    return {"val_psnr": float(np.mean(whole)), "val_product_psnr": float(np.mean(product))}


@torch.no_grad()
def measure_latents(
    vae: AutoencoderKLWan, seed: int, clips: int
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation a channel, as Wan's latent normalisation wants them."""
    latents = []
    for index in range(clips):
        video = draw_sample(seed, index, stream=VALIDATION_STREAM).clip.video
        latents.append(vae.encode(to_tensor(video)[None]).latent_dist.mode())
    flat = rearrange(torch.cat(latents), "b c f h w -> c (b f h w)").double()
    return flat.mean(1).tolist(), flat.std(1).tolist()


def train(
    vae: AutoencoderKLWan, average: AutoencoderKLWan, pool: Pool, options: argparse.Namespace
) -> Iterator[int]:
    """Yields the number of finished steps after each checkpoint."""
    optimisers = make_optimisers(vae, options.lr)
    path = options.state / "vae.safetensors"
    modules = {"vae": vae, "average": average}
    start = load_checkpoint(path, modules, optimisers)
    progress = Progress(options.state / "vae_curve.csv", start, options.steps)
    for step in range(start, options.steps):
        rng = np.random.default_rng([options.seed, 10, step])
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        set_rate(optimisers, step, options.steps, options.lr)
        loss = reconstruction_loss(vae, *draw_batch(pool, rng), noise)
        vae.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for optimiser in optimisers.values():
            optimiser.step()
        done = step + 1
        follow(average.parameters(), vae.parameters(), done)
        progress.note(loss=loss.item())
        if done % options.checkpoint_every == 0 or done == options.steps:
            progress.note(**validate(average, options.seed, 4, options.state / "vae_sheet.png"))
            save_checkpoint(path, done, modules, optimisers)
            yield done
        if done % 50 == 0 or done == options.steps:
            progress.report(done)


def parse_options() -> argparse.Namespace:
    parser = recipe_parser(__doc__, steps=9000, lr=2e-3)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True, help="checkpoints; may be deleted")
    parser.add_argument("--clips", type=int, default=500, help="rendered clips to crop from")
    parser.add_argument("--base-dim", type=int, default=16)
    parser.add_argument("--decoder-base-dim", type=int, default=24)
    parser.add_argument("--checkpoint-every", type=int, default=1000)
    return begin(parser)


def main() -> None:
    options = parse_options()
    vae = build_vae(options.base_dim, options.decoder_base_dim)
    log.info("VAE %.2f M parameters", sum(p.numel() for p in vae.parameters()) / 1e6)
    pool = render_pool(options.seed, options.clips)
    log.info("rendered %d clips", options.clips)
    average = copy.deepcopy(vae).requires_grad_(False)
    for done in train(vae, average, pool, options):
        log.info("checkpoint at step %d", done)
    options.output.mkdir(parents=True, exist_ok=True)
    figures = validate(average, options.seed, _VALIDATION_CLIPS, options.output / "sheet.png")
    mean, std = measure_latents(average, options.seed, _STATISTICS_CLIPS)
    average.register_to_config(latents_mean=mean, latents_std=std)
    average.save_pretrained(options.output / "vae")
    (options.output / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    curve = options.state / "vae_curve.csv"
    (options.output / "curve.csv").write_bytes(curve.read_bytes())
    log.info("%s", figures)


if __name__ == "__main__":
    main()
