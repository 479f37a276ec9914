"""A Wan VACE model of a few thousand random weights, as a folder."""

from pathlib import Path
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  before diffusers and transformers

import torch

from tests.tiny.wan import HEAD_DIM, HEADS, LAYERS, TEXT_DIM, tiny_text


def tiny_vace_transformer(seed: int = 0, **changes: Any) -> Any:
    from diffusers import WanVACETransformer3DModel

    config = {
        "patch_size": (1, 2, 2), "num_attention_heads": HEADS, "attention_head_dim": HEAD_DIM,
        "in_channels": 4, "out_channels": 4, "text_dim": TEXT_DIM, "freq_dim": 16, "ffn_dim": 32,
        "num_layers": LAYERS, "cross_attn_norm": True, "rope_max_seq_len": 32,
        "vace_layers": [0, 2],  # fewer than layers, as in the real ones
        "vace_in_channels": 2 * 4 + 8 * 8,  # two videos of latents and the pixels of the mask
    }  # fmt: skip
    torch.manual_seed(seed)
    model = WanVACETransformer3DModel(**{**config, **changes}).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 1:  # norms and biases start at 1 and 0 and would hide mistakes
            torch.nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.2)
    # The random VAE's latents are faint; louder, the condition shows in 8-bit pixels.
    model.vace_patch_embedding.weight.mul_(20)
    return model


def tiny_vace_vae(seed: int = 0) -> Any:
    """Shaped as Wan 2.1's, which shrinks by 8 in three stages.

    `tiny_wan.tiny_vae` is shaped as Wan 2.2's, two stages behind a patch of 2; the VACE pipeline
    counts stages only and would take it to shrink by 4.
    """
    from diffusers import AutoencoderKLWan

    torch.manual_seed(seed)
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, attn_scales=[],
        temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.5, 1.5, 1.0, 2.0],
    )  # fmt: skip
    return vae.eval().requires_grad_(False)


def save_tiny_vace(folder: Path, text_seed: int = 0) -> Path:
    """A folder in the layout of diffusers' `WanVACEPipeline`.

    text_seed: 0 makes the text encoder of `tiny_wan.save_tiny_wan`.
    """
    from diffusers import UniPCMultistepScheduler, WanVACEPipeline

    tokenizer, text_encoder = tiny_text(text_seed)
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    pipeline = WanVACEPipeline(
        tokenizer=tokenizer, text_encoder=text_encoder, vae=tiny_vace_vae(),
        scheduler=scheduler, transformer=tiny_vace_transformer(),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder
