"""Write a diffusers FluxFillPipeline repository from the trained VAE and transformer.

python -m backbones.image.assemble --vae VAE --transformer TRANSFORMER --output FOLDER
"""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import argparse
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxTransformer2DModel,
)

from backbones.image.prompts import vocabulary
from backbones.image.tasks import PHRASES
from backbones.image.text import CLIP_TOKENS, SPECIAL, build_clip, build_t5, build_tokenizer
from backbones.publish import publish

T5_TOKENS = 512  # an upper bound only: the pipeline pads to its own max_sequence_length
TEXT_SEED = 7


def text_modules() -> dict[str, object]:
    """Tokenizers and frozen text encoders under their FluxFillPipeline names."""
    words = vocabulary(PHRASES)
    count = len(words) + len(SPECIAL)
    return {
        "tokenizer": build_tokenizer(words, bos=True, max_tokens=CLIP_TOKENS),
        "tokenizer_2": build_tokenizer(words, bos=False, max_tokens=T5_TOKENS),
        "text_encoder": build_clip(count, TEXT_SEED),
        "text_encoder_2": build_t5(count, TEXT_SEED + 1),
    }


def build_pipeline(vae: AutoencoderKL, transformer: FluxTransformer2DModel) -> FluxFillPipeline:
    """The complete pipeline around the two trained networks."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False)
    return FluxFillPipeline(scheduler=scheduler, vae=vae, transformer=transformer, **text_modules())


def assemble(vae: Path, transformer: Path, output: Path) -> None:
    """Write the repository in fp16; `output` is replaced only when all files are there."""
    pipeline = build_pipeline(
        AutoencoderKL.from_pretrained(vae), FluxTransformer2DModel.from_pretrained(transformer)
    )
    pipeline.to(dtype=torch.float16)
    publish(output, pipeline.save_pretrained)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--transformer", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    assemble(arguments.vae, arguments.transformer, arguments.output)


if __name__ == "__main__":
    main()
