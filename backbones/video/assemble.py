"""Put the trained parts together as a diffusers `WanPipeline` folder.

    python -m backbones.video.assemble --vae DIR --t2v DIR --output backbones/wan-micro

Weights are stored as fp16 safetensors; `manifest.json` holds the sha256 of every other file, by
which a stage knows the model again.
"""

import argparse
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import UMT5EncoderModel

from backbones.publish import publish
from backbones.video.text import build_tokenizer
from backbones.worlds.tabletop_captions import vocabulary

_CHECK_PROMPT = "a red plain mug sliding left on beige wood"


def build_pipeline(vae: Path, t2v: Path) -> WanPipeline:
    return WanPipeline(
        tokenizer=build_tokenizer(vocabulary()),
        text_encoder=UMT5EncoderModel.from_pretrained(t2v / "text_encoder", dtype=torch.float16),
        vae=AutoencoderKLWan.from_pretrained(vae, dtype=torch.float16),
        transformer=WanTransformer3DModel.from_pretrained(t2v / "transformer", dtype=torch.float16),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),  # as Wan2.1 at 480p
    )


def check(folder: Path) -> None:
    """A short sampling run through the pipeline as a user would load it; raises if it fails."""
    pipeline = WanPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    video = pipeline(
        _CHECK_PROMPT,
        negative_prompt="",
        height=96,
        width=96,
        num_frames=17,
        num_inference_steps=2,
        guidance_scale=2.0,
        max_sequence_length=16,
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
    ).frames
    if tuple(video.shape) != (1, 17, 3, 96, 96) or not bool(torch.isfinite(video).all()):
        raise RuntimeError(f"{folder}: sampling gave {tuple(video.shape)}, or values not finite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--t2v", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()

    def write(folder: Path) -> None:
        build_pipeline(options.vae, options.t2v).save_pretrained(folder)
        check(folder)

    publish(options.output, write)


if __name__ == "__main__":
    main()
