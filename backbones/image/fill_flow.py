"""Velocity, flow-matching loss and sampling of the image base on encoded diptychs.

x_t = (1 - t) x_0 + t x_1 with noise x_1; the network predicts x_1 - x_0.
"""

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

# isort: split
import math

import torch
from diffusers import FluxFillPipeline, FluxTransformer2DModel
from torch import Tensor

from backbones.image.prompts import task_prompt

PANEL_PX = 128
ROWS, COLUMNS = PANEL_PX // 16, PANEL_PX // 8  # tokens of the diptych
TEXT_TOKENS = 16
GUIDANCE = 1.0  # constant: the micro base is not guidance-distilled
LEFT_WEIGHT = 0.1  # the left panel is given; reproducing it is worth little
UNIFORM_SHARE = 0.2  # of the noise levels; the others are logit-normal
# Timestep shift (as of SD3) of the logit-normal ones: what the right panel shall be follows from
# the left one and the prompt, and that is learnt where x_t itself tells little.
NOISE_SHIFT = 3.0


@torch.no_grad()
def encode_prompts(pipeline: FluxFillPipeline, phrases: list[str]) -> tuple[Tensor, Tensor]:
    """(T5 tokens [prompts, TEXT_TOKENS, 64], pooled CLIP [prompts, 64])."""
    prompts = [task_prompt(phrase) for phrase in phrases]
    tokens, pooled, _ = pipeline.encode_prompt(prompts, max_sequence_length=TEXT_TOKENS)
    return tokens, pooled


def velocity(
    net: FluxTransformer2DModel,
    x_t: Tensor,
    t: Tensor,
    x_cond: Tensor,
    text: tuple[Tensor, Tensor],
) -> Tensor:
    """x_t [B, N, 64], t [B] in 0..1, x_cond [B, N, 320], text as `encode_prompts` -> [B, N, 64]."""
    tokens, pooled = text
    ids = FluxFillPipeline._prepare_latent_image_ids(1, ROWS, COLUMNS, "cpu", torch.float32)
    return net(
        hidden_states=torch.cat([x_t, x_cond], dim=-1),
        timestep=t,
        guidance=torch.full_like(t, GUIDANCE),
        encoder_hidden_states=tokens,
        pooled_projections=pooled,
        img_ids=ids,
        txt_ids=torch.zeros(tokens.shape[1], 3),
        return_dict=False,
    )[0]


def noise_levels(count: int, random: torch.Generator) -> Tensor:
    """[count] in 0..1."""
    t = torch.sigmoid(torch.randn(count, generator=random) + math.log(NOISE_SHIFT))
    uniform = torch.rand(count, generator=random)
    chosen = torch.rand(count, generator=random) < UNIFORM_SHARE
    return torch.where(chosen, uniform, t)


def flow_loss(
    net: FluxTransformer2DModel,
    x_0: Tensor,
    x_cond: Tensor,
    text: tuple[Tensor, Tensor],
    random: torch.Generator,
) -> Tensor:
    """Mean squared error of the velocity; the left panel counts LEFT_WEIGHT."""
    t = noise_levels(len(x_0), random)
    x_1 = torch.randn(x_0.shape, generator=random)
    x_t = torch.lerp(x_0, x_1, t[:, None, None])
    with torch.autocast("cpu", torch.bfloat16):
        predicted = velocity(net, x_t, t, x_cond, text)
    right = torch.arange(ROWS * COLUMNS) % COLUMNS >= COLUMNS // 2
    weight = torch.where(right, 1.0, LEFT_WEIGHT)
    error = (predicted.float() - (x_1 - x_0)).square().mean(-1)  # [B, N]
    return (error * weight).mean() / right.float().mean()


@torch.no_grad()
def sample_euler(
    net: FluxTransformer2DModel,
    x_cond: Tensor,
    text: tuple[Tensor, Tensor],
    steps: int,
    random: torch.Generator,
) -> Tensor:
    """x_cond [B, N, 320] -> x_0 [B, N, 64] after `steps` even steps from t = 1 to 0."""
    x_t = torch.randn(*x_cond.shape[:2], 64, generator=random)
    for step in range(steps):
        t = torch.full((len(x_t),), 1 - step / steps)
        x_t = x_t - velocity(net, x_t, t, x_cond, text).float() / steps
    return x_t
