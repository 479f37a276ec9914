"""A Wan text-to-video model of a few thousand random weights, in memory and as a folder."""

from pathlib import Path
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  before diffusers and transformers

import torch

# The smallest shapes that still have several heads, layers and a head split into t, h and w parts.
HEADS, HEAD_DIM, LAYERS, TEXT_DIM, WORDS = 2, 12, 4, 16, 8
VOCABULARY = ("<pad>", "</s>", "<unk>", "a", "red", "blue", "mug", "ball", "on", "wood", "sliding")


def tiny_transformer(seed: int = 0, **changes: Any) -> Any:
    from diffusers import WanTransformer3DModel

    config = {
        "patch_size": (1, 2, 2), "num_attention_heads": HEADS, "attention_head_dim": HEAD_DIM,
        "in_channels": 4, "out_channels": 4, "text_dim": TEXT_DIM, "freq_dim": 16, "ffn_dim": 32,
        "num_layers": LAYERS, "cross_attn_norm": True, "rope_max_seq_len": 32,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = WanTransformer3DModel(**{**config, **changes}).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 1:  # norms and biases start at 1 and 0 and would hide mistakes
            torch.nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.2)
    return model


def tiny_inputs(
    frames: int = 3, height: int = 4, width: int = 6, batch: int = 1, seed: int = 1
) -> dict[str, torch.Tensor]:
    """Arguments of a forward pass; height and width are latent pixels, two a token."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "hidden_states": torch.randn(batch, 4, frames, height, width, generator=generator),
        "timestep": torch.full((batch,), 500.0),
        "encoder_hidden_states": torch.randn(batch, WORDS, TEXT_DIM, generator=generator),
    }


def run(transformer: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return transformer(**inputs, return_dict=False)[0]


def tiny_vae(seed: int = 0, **changes: Any) -> Any:
    from diffusers import AutoencoderKLWan

    config = {
        "base_dim": 4, "decoder_base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 1],
        "num_res_blocks": 1, "attn_scales": [], "temperal_downsample": [True, True],
        "is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12,
        "scale_factor_spatial": 8, "scale_factor_temporal": 4,
        "latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [0.5, 1.5, 1.0, 2.0],
    }  # fmt: skip
    torch.manual_seed(seed)
    vae = AutoencoderKLWan(**{**config, **changes})
    return vae.eval().requires_grad_(False)


def tiny_text(seed: int = 0) -> tuple[Any, Any]:
    """Tokenizer and encoder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    words = {word: index for index, word in enumerate(VOCABULARY)}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(seed)
    config = UMT5Config(
        vocab_size=len(VOCABULARY), d_model=TEXT_DIM, d_kv=8, d_ff=16, num_layers=1, num_heads=2
    )
    return tokenizer, UMT5EncoderModel(config).eval().requires_grad_(False)


def save_tiny_wan(folder: Path) -> Path:
    """A folder in the layout of diffusers' `WanPipeline`."""
    from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline

    tokenizer, text_encoder = tiny_text()
    pipeline = WanPipeline(
        tokenizer=tokenizer, text_encoder=text_encoder, vae=tiny_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(), transformer=tiny_transformer(),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder
