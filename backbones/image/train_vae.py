"""Train the image autoencoder of the micro FLUX Fill base.

python -m backbones.image.train_vae --work WORK --output WORK/vae

It learns on pieces of diptychs, whole or with the right half blank, because that is what it will
encode: its group normalisation sees the whole picture, so a blank half changes the code of the
other half. Half of what it sees is the street world, half are procedural pictures with the
statistics of photographs, so that a user's own photo survives too.

A killed run continues from WORK/vae_run.safetensors.
"""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import copy
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from backbones.checkpoint import load_checkpoint, save_checkpoint
from backbones.image.bank import (
    HELD_OUT_SEED,
    TRAIN_SEED,
    Bank,
    base_bank,
    infrared_bank,
    natural_bank,
)
from backbones.image.pixels import to_pixels
from backbones.image.tasks import PALETTES, PHOTOMETRIC, photometric, repaint
from backbones.moving_average import follow
from backbones.muon import Muon
from backbones.options import begin, recipe_parser
from backbones.progress import Progress

log = logging.getLogger("train_vae")

CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "block_out_channels": (16, 32, 96, 160),
    "layers_per_block": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "sample_size": 128,
}
KL_WEIGHT = 1e-5
MASKED = 0.12  # share of examples with a blank right half
Pixels = NDArray[np.uint8]


class Examples:
    """Random pieces of diptychs from the bank, seeded by the step: a resumed run sees the same."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self.bank, self.seed = bank, seed
        self.kinds = ["natural", "visible", "relit", "infrared", "semantic", "task"]
        self.odds = {
            "left": [0.45, 0.2, 0.05, 0.1, 0.15, 0.05],
            "right": [0.25, 0.05, 0.05, 0.25, 0.2, 0.2],
        }

    def panel(self, random: np.random.Generator, scene: int, place: str) -> Pixels:
        kind = random.choice(self.kinds, p=self.odds[place])
        if kind == "natural":
            return self.bank[kind][int(random.integers(len(self.bank[kind])))]
        if kind != "task":
            image = self.bank[kind][scene]
            return image if image.ndim == 3 else np.repeat(image[..., None], 3, -1)
        visible = self.bank["visible"][scene]
        if random.random() < 0.5:
            return photometric(random.choice(PHOTOMETRIC), visible)
        return repaint(random.choice(list(PALETTES)), visible, self.bank["labels"][scene])

    def batch(self, step: int, count: int, crop: int) -> Tensor:
        """[count, 3, crop, 2 crop] in [-1, 1]."""
        random = np.random.default_rng([self.seed, step])
        pieces = [self._piece(random, crop) for _ in range(count)]
        return torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2).contiguous()

    def _piece(self, random: np.random.Generator, crop: int) -> NDArray[np.float32]:
        scene = int(random.integers(len(self.bank["visible"])))
        panels = []
        for place in ("left", "right"):
            image = self.panel(random, scene, place)
            y, x = random.integers(0, image.shape[0] - crop + 1, 2)
            panels.append(self._vary(random, image[y : y + crop, x : x + crop]))
        if random.random() < MASKED:
            panels[1] = np.zeros_like(panels[1])  # blank is 0 in [-1, 1]
        return np.concatenate(panels, axis=1)

    @staticmethod
    def _vary(random: np.random.Generator, image: Pixels) -> NDArray[np.float32]:
        pixels = image.astype(np.float32)
        draw = random.random()
        if draw < 0.06:
            pixels = 255 - pixels
        elif draw < 0.12:
            pixels = pixels[..., random.permutation(3)]
        elif draw < 0.22:
            pixels = np.clip(pixels * random.uniform(0.6, 2.5), 0, 255)
        if random.random() < 0.5:
            pixels = pixels[:, ::-1]
        return pixels / 127.5 - 1


def reconstruction_loss(decoded: Tensor, target: Tensor) -> Tensor:
    """Squared error for PSNR, absolute error and gradients for sharp edges."""
    error = decoded - target
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 4 * error.square().mean() + 0.2 * edges


@torch.no_grad()
def held_out_psnr(vae: AutoencoderKL, bank: Bank) -> dict[str, float]:
    """PSNR (dB) of the right panel of [visible | right], for each kind of right panel."""
    left = to_pixels(bank["visible"])
    night = torch.from_numpy(bank["night"]).bool()
    figures: dict[str, float] = {}
    for kind in ("visible", "infrared", "semantic"):
        right = to_pixels(bank[kind])
        diptych = torch.cat([left, right], dim=-1)
        decoded = vae.decode(vae.encode(diptych).latent_dist.mode()).sample.clamp(-1, 1)
        error = ((decoded - diptych) / 2)[..., left.shape[-1] :].square().flatten(1).mean(1)
        psnr = -10 * error.log10()
        figures |= {f"{kind} day": psnr[~night].mean(), f"{kind} night": psnr[night].mean()}
    return {name: round(float(value), 2) for name, value in figures.items()}


@torch.no_grad()
def photo_psnr(vae: AutoencoderKL, photos: Pixels) -> float:
    """Mean PSNR (dB) of photos [N, P, P, 3] as left panels beside a blank one."""
    left = to_pixels(photos)
    diptych = torch.cat([left, torch.zeros_like(left)], dim=-1)
    decoded = vae.decode(vae.encode(diptych).latent_dist.mode()).sample.clamp(-1, 1)
    error = ((decoded - diptych) / 2)[..., : left.shape[-1]].square().flatten(1).mean(1)
    return round(float((-10 * error.log10()).mean()), 2)


@torch.no_grad()
def latent_statistics(vae: AutoencoderKL, bank: Bank) -> tuple[float, float]:
    """(shift, scale) that give the latents of diptychs mean 0 and deviation 1."""
    left = to_pixels(bank["visible"])
    codes = [
        vae.encode(torch.cat([left, to_pixels(bank[kind])], dim=-1)).latent_dist.mode()
        for kind in ("visible", "relit", "infrared", "semantic")
    ]
    latents = torch.cat(codes)
    return float(latents.mean()), float(1 / latents.std())


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up over 100 steps, then a cosine to 2% of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return peak * min(1.0, (step + 1) / 100) * (0.98 * cosine + 0.02)


def train(
    vae: AutoencoderKL,
    examples: Examples,
    steps: int,
    peak: float,
    work: Path,
    check: Callable[[AutoencoderKL], dict[str, float]],
) -> None:
    """Train in place; the moving average of the weights replaces them at the end.

    `check` measures that average every 1,000 steps, for the curve.
    """
    convolutions = [p for p in vae.parameters() if p.ndim == 4]
    others = [p for p in vae.parameters() if p.ndim != 4]
    optimisers = {
        "muon": Muon(convolutions, lr=peak),
        "adamw": torch.optim.AdamW(others, peak, betas=(0.9, 0.99)),
    }
    modules = {"vae": vae, "average": copy.deepcopy(vae).requires_grad_(False)}
    resume = work / "vae_run.safetensors"
    first = load_checkpoint(resume, modules, optimisers)
    progress = Progress(work / "vae_curve.csv", first, steps)
    for step in range(first, steps):
        for group in (g for optimiser in optimisers.values() for g in optimiser.param_groups):
            group["lr"] = learning_rate(step, steps, peak)
        # Small crops show more scenes a second; the last part fits whole panels.
        x = examples.batch(step, 4, 64) if step < 0.8 * steps else examples.batch(step, 1, 128)
        loss, kl = forward(vae, x, torch.Generator().manual_seed(step))
        (loss + KL_WEIGHT * kl).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for optimiser in optimisers.values():
            optimiser.step()
            optimiser.zero_grad()
        follow(modules["average"].parameters(), vae.parameters(), step + 1)
        progress.note(loss=loss.item())
        if (step + 1) % 1000 == 0 or step + 1 == steps:
            save_checkpoint(resume, step + 1, modules, optimisers)
            progress.note(**check(modules["average"]))
        if (step + 1) % 50 == 0 or step + 1 == steps:
            progress.report(step + 1)
    vae.load_state_dict(modules["average"].state_dict())


def forward(vae: AutoencoderKL, x: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """(reconstruction loss, KL divergence a latent) of pixels x in [-1, 1]."""
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(x.contiguous(memory_format=torch.channels_last)).latent_dist
        decoded = vae.decode(posterior.sample(generator=noise)).sample.float()
    return reconstruction_loss(decoded, x), posterior.kl().mean() / posterior.mean[0].numel()


def main() -> None:
    parser = recipe_parser(__doc__, steps=5400, lr=2e-3)
    parser.add_argument("--work", type=Path, required=True, help="caches, resume file, curves")
    parser.add_argument("--output", type=Path, required=True, help="folder of the trained VAE")
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--natural", type=int, default=2000, help="procedural pictures")
    arguments = begin(parser)
    bank = base_bank(arguments.work, TRAIN_SEED, arguments.scenes)
    bank |= infrared_bank(arguments.work, TRAIN_SEED, arguments.scenes)
    bank |= natural_bank(arguments.work, TRAIN_SEED, arguments.natural)
    held_out = base_bank(arguments.work, HELD_OUT_SEED, 48)
    held_out |= infrared_bank(arguments.work, HELD_OUT_SEED, 48)
    held_out |= natural_bank(arguments.work, HELD_OUT_SEED, 24)
    vae = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)

    def check(average: AutoencoderKL) -> dict[str, float]:
        natural = {"natural": photo_psnr(average, held_out["natural"])}
        return held_out_psnr(average, held_out) | natural

    train(vae, Examples(bank, arguments.seed), arguments.steps, arguments.lr, arguments.work, check)
    shift, scale = latent_statistics(vae, held_out)
    vae.register_to_config(shift_factor=shift, scaling_factor=scale)
    vae.save_pretrained(arguments.output)
    figures = json.dumps(check(vae), indent=2)
    (arguments.output / "figures.json").write_text(figures + "\n")
    log.info("shift %.4f scale %.4f PSNR %s", shift, scale, figures)


if __name__ == "__main__":
    main()
