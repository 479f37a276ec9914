"""Gather figures, curves and sheets of the trained image models in one small folder.

python -m backbones.image.report --work WORK --vae WORK/vae --fill WORK/fill --output FOLDER

Writes vae.json, vae_curve.csv, vae.jpg, fill.json, fill_curve.csv and fill.jpg.
"""

import refract.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import argparse
import shutil
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


def write_report(work: Path, vae: Path, fill: Path, output: Path) -> None:
    """Copy what the recipes wrote beside their weights; draw the autoencoder's sheet."""
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(vae / "figures.json", output / "vae.json")
    shutil.copyfile(work / "vae_curve.csv", output / "vae_curve.csv")
    shutil.copyfile(fill / "figures.json", output / "fill.json")
    shutil.copyfile(fill / "curve.csv", output / "fill_curve.csv")
    shutil.copyfile(fill / "samples.jpg", output / "fill.jpg")
    bank = base_bank(work, HELD_OUT_SEED, 48) | infrared_bank(work, HELD_OUT_SEED, 48)
    bank |= natural_bank(work, HELD_OUT_SEED, 24)
    sheet = vae_sheet(AutoencoderKL.from_pretrained(vae), bank)
    Image.fromarray(sheet).save(output / "vae.jpg", quality=_QUALITY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="caches and curves")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--fill", type=Path, required=True, help="folder of the transformer")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    write_report(arguments.work, arguments.vae, arguments.fill, arguments.output)


if __name__ == "__main__":
    main()
