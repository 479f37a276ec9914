"""A random FLUX Fill repository of a few kilobytes, in the layout of the real one."""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from PIL import Image

from backbones.image.assemble import build_pipeline
from backbones.publish import write_manifest
from refract.triptychs.panels.manifest import TriptychRow
from refract.triptychs.panels.manifest import write_manifest as write_rows
from refract.triptychs.panels.triptych import join_triptych

PROMPT = "a diptych of the same scene, on the right as infrared thermal photo"
PANEL_PX = 32  # 2 x 2 tokens a panel


def tiny_transformer(heads: int = 2) -> FluxTransformer2DModel:
    """One double and one single block; heads of 16 channels."""
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=384,
        out_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=heads,
        joint_attention_dim=64,  # the width of the recipe's text encoders
        pooled_projection_dim=64,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )


def tiny_vae() -> AutoencoderKL:
    """Four levels, so that a latent pixel is 8 pixels, as in every FLUX VAE."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=16,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=2,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1,
        scaling_factor=0.4,
    )


def write_tiny_fill(folder: Path, heads: int = 2) -> Path:
    """Write the repository; the same bytes every time."""
    torch.manual_seed(11)
    build_pipeline(tiny_vae(), tiny_transformer(heads)).save_pretrained(folder)
    write_manifest(folder)
    return folder


def reference(folder: Path) -> SimpleNamespace:
    """A model section for `folder`."""
    return SimpleNamespace(path=str(folder), revision=None, dtype="float32", max_sequence_length=16)


def write_triptychs(folder: Path, counts: dict[str, int], panel_px: int = PANEL_PX) -> Path:
    """Random triptychs with a manifest."""
    random = np.random.default_rng(3)
    rows = []
    for split, count in counts.items():
        (folder / split).mkdir(parents=True)
        for index in range(count):
            name = f"{split}{index}"
            visible, semantic = random.integers(0, 256, (2, panel_px, panel_px, 3), np.uint8)
            infrared = random.integers(0, 256, (panel_px, panel_px), np.uint8)
            pixels = join_triptych(visible, infrared, semantic)
            Image.fromarray(pixels).save(folder / split / f"{name}.png")
            rows.append(
                TriptychRow(
                    id=name,
                    split=split,
                    visible="v.png",
                    infrared="i.png",
                    semantic="s.png",
                    caption=PROMPT,
                    daytime="day",
                    sequence=name,
                )
            )
    write_rows(rows, folder)
    return folder
