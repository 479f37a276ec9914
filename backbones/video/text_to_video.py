"""Sample sheets of the text-to-video model while it trains."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

from backbones.video.cache_latents import latent_statistics
from backbones.video.clips import to_frames
from backbones.video.sheet import write_sheet
from backbones.video.text import encode_text
from backbones.video.transformer_model import predict_velocity

_PROMPTS = (
    "a red plain mug sliding left on beige wood",
    "a blue striped ball zooming in on pink silk",
    "a green dotted bottle rotating on gray table",
    "a yellow checkered star sliding up on navy marble",
)


@torch.no_grad()
def sample_latents(
    transformer: WanTransformer3DModel,
    context: Tensor,
    no_context: Tensor,
    latent_shape: Sequence[int],
    *,
    steps: int = 16,
    guidance: float = 4.0,
    shift: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """Euler from noise with classifier-free guidance; context (b, n, d) -> (b, *latent_shape).

    shift: timestep shift of the noise levels; above 1 takes more steps where the layout forms.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((len(context), *latent_shape), generator=generator)
    both = torch.cat((context, no_context))
    sigmas = torch.linspace(1, 0, steps + 1)
    sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    for sigma, after in pairwise(sigmas):
        level = sigma.expand(2 * len(x))
        with_text, without = predict_velocity(transformer, torch.cat((x, x)), level, both).chunk(2)
        x = x + (after - sigma) * (without + guidance * (with_text - without))
    return x


@torch.no_grad()
def sample_sheet(
    vae: AutoencoderKLWan,
    transformer: WanTransformer3DModel,
    text_encoder: UMT5EncoderModel,
    tokenizer: PreTrainedTokenizerFast,
    path: Path,
) -> None:
    """First, middle and last frame of a clip for each of a few prompts."""
    context = encode_text(text_encoder, tokenizer, _PROMPTS)
    no_context = encode_text(text_encoder, tokenizer, [""] * len(_PROMPTS))
    latents = sample_latents(transformer, context, no_context, (16, 5, 12, 12))
    mean, std = latent_statistics(vae)
    rows = []
    for latent in latents:
        frames = to_frames(vae.decode(latent[None] * std + mean).sample[0])
        rows.append([frames[i] for i in (0, 4, 8, 12, 16)])
    write_sheet(rows, path)
