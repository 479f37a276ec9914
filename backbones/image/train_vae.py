"""Train the image autoencoder of the micro FLUX Fill base on the street world.

python -m backbones.image.train_vae --work WORK --output WORK/vae

It learns on pieces of diptychs, whole or with the right half blank, because that is what it will
encode: its group normalisation sees the whole picture, so a blank half changes the code of the
other half.
"""

import refract.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import argparse
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from backbones.image.bank import HELD_OUT_SEED, TRAIN_SEED, Bank, base_bank, infrared_bank
from backbones.image.checkpoint import load_run, save_run
from backbones.image.pixels import to_pixels
from backbones.image.progress import Progress
from backbones.image.tasks import PALETTES, PHOTOMETRIC, photometric, repaint
from backbones.muon import Muon

CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "block_out_channels": (16, 32, 64, 96),
    "layers_per_block": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "sample_size": 128,
}
KL_WEIGHT = 2e-5
MASKED = 0.12  # share of examples with a blank right half
Pixels = NDArray[np.uint8]


class Examples:
    """Random pieces of diptychs from the bank, seeded by the step: a resumed run sees the same."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self.bank, self.seed = bank, seed
        self.kinds = ["visible", "relit", "infrared", "semantic", "task"]
        self.odds = {"left": [0.45, 0.2, 0.15, 0.15, 0.05], "right": [0.1, 0.1, 0.4, 0.2, 0.2]}

    def panel(self, random: np.random.Generator, scene: int, place: str) -> Pixels:
        kind = random.choice(self.kinds, p=self.odds[place])
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


def train(vae: AutoencoderKL, examples: Examples, steps: int, peak: float, work: Path) -> None:
    """Train in place; the moving average of the weights replaces them at the end."""
    convolutions = [p for p in vae.parameters() if p.ndim == 4]
    others = [p for p in vae.parameters() if p.ndim != 4]
    optimisers = [Muon(convolutions, lr=peak), torch.optim.AdamW(others, peak, betas=(0.9, 0.99))]
    average = {name: p.detach().clone() for name, p in vae.named_parameters()}
    resume = work / "vae_run.safetensors"
    first = load_run(resume, vae, average, optimisers) if resume.exists() else 0
    progress = Progress("vae", steps, first, 50, work / "vae_curve.csv")
    for step in range(first, steps):
        for group in (g for optimiser in optimisers for g in optimiser.param_groups):
            group["lr"] = learning_rate(step, steps, peak)
        # Small crops show more scenes a second; the last part fits whole panels.
        x = examples.batch(step, 4, 64) if step < 0.8 * steps else examples.batch(step, 1, 128)
        posterior = vae.encode(x.contiguous(memory_format=torch.channels_last)).latent_dist
        loss = reconstruction_loss(vae.decode(posterior.sample()).sample, x)
        (loss + KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, p in vae.named_parameters():
                average[name].lerp_(p, 1 - decay)
        progress.update(step + 1, loss.item())
        if (step + 1) % 250 == 0:
            save_run(resume, step + 1, vae, average, optimisers)
    vae.load_state_dict(vae.state_dict() | average)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="caches, resume file, curves")
    parser.add_argument("--output", type=Path, required=True, help="folder of the trained VAE")
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    bank = base_bank(arguments.work, TRAIN_SEED, arguments.scenes)
    bank |= infrared_bank(arguments.work, TRAIN_SEED, arguments.scenes)
    held_out = base_bank(arguments.work, HELD_OUT_SEED, 24)
    held_out |= infrared_bank(arguments.work, HELD_OUT_SEED, 24)
    vae = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)
    train(vae, Examples(bank, seed=0), arguments.steps, arguments.lr, arguments.work)
    shift, scale = latent_statistics(vae, held_out)
    vae.register_to_config(shift_factor=shift, scaling_factor=scale)
    vae.save_pretrained(arguments.output)
    print(f"shift {shift:.4f} scale {scale:.4f} PSNR {held_out_psnr(vae, held_out)}")


if __name__ == "__main__":
    main()
