"""A sheet of what the image autoencoder keeps: source rows above decoded rows.

python -m backbones.image.vae_sheet --work WORK --vae WORK/vae --output FILE.jpg
"""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image

from backbones.image.bank import HELD_OUT_SEED, Bank, base_bank, infrared_bank, natural_bank
from backbones.image.pixels import to_pixels

_SCENES = 6
_QUALITY = 85  # of the JPEG


@torch.no_grad()
def vae_sheet(vae: AutoencoderKL, bank: Bank) -> NDArray[np.uint8]:
    """Six pictures a kind: the source row and the decoded row below, each as a left panel."""
    rows = []
    for kind in ("visible", "infrared", "semantic", "natural"):
        source = to_pixels(bank[kind][:_SCENES])
        diptych = torch.cat([source, torch.zeros_like(source)], dim=-1)
        decoded = vae.decode(vae.encode(diptych).latent_dist.mode()).sample
        for pixels in (source, decoded[..., : source.shape[-1]].clamp(-1, 1)):
            images = ((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
            rows.append(np.concatenate([*images], axis=1))
    return np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="caches of drawn scenes")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    bank = base_bank(options.work, HELD_OUT_SEED, 48) | infrared_bank(
        options.work, HELD_OUT_SEED, 48
    )
    bank |= natural_bank(options.work, HELD_OUT_SEED, 24)
    sheet = vae_sheet(AutoencoderKL.from_pretrained(options.vae), bank)
    Image.fromarray(sheet).save(options.output, quality=_QUALITY)


if __name__ == "__main__":
    main()
