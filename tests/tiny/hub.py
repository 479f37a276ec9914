"""Tiny random models in the exact file layout of the two repositories of the full profile.

The file names are those of the published repositories, as mirrors of them list them (read in
November 2026):

* huggingface.co/black-forest-labs/FLUX.1-Fill-dev: transformer in three shards, T5 in two,
  CLIP and VAE in one file each.
* huggingface.co/Wan-AI/Wan2.1-T2V-1.3B-Diffusers: transformer in two shards, UMT5 in five,
  the VAE in one file.

The files for other programs (ae.safetensors, flux1-fill-dev.safetensors, LICENSE.md, ...) are left
out. Wan's depth is the true one, so that every layer setting of the profile means what it says
there; widths and FLUX's depth, which no setting names, are not. The configurations of the text
encoders keep what is odd about Wan's: that no embeddings are tied, while only `shared.weight` is
stored.
"""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    UniPCMultistepScheduler,
    WanTransformer3DModel,
)
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.tiny.tokenizers import write_clip_tokenizer, write_t5_tokenizer

FILL_INDEX = {
    "_class_name": "FluxFillPipeline",
    "_diffusers_version": "0.32.0.dev0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
WAN_INDEX = {
    "_class_name": "WanPipeline",
    "_diffusers_version": "0.33.0.dev0",
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "tokenizer": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"],
}
_T5_FILES = ("special_tokens_map.json", "spiece.model", "tokenizer.json", "tokenizer_config.json")
_CLIP_FILES = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")


def shards(stem: str, count: int) -> tuple[str, ...]:
    """The names of a model in `count` shards, with its index."""
    names = [f"{stem}-{index:05}-of-{count:05}.safetensors" for index in range(1, count + 1)]
    return ("config.json", *names, f"{stem}.safetensors.index.json")


FILL_FILES = {
    "": ("model_index.json",),
    "scheduler": ("scheduler_config.json",),
    "text_encoder": ("config.json", "model.safetensors"),
    "text_encoder_2": shards("model", 2),
    "tokenizer": _CLIP_FILES,
    "tokenizer_2": _T5_FILES,
    "transformer": shards("diffusion_pytorch_model", 3),
    "vae": ("config.json", "diffusion_pytorch_model.safetensors"),
}
WAN_FILES = {
    "": ("model_index.json",),
    "scheduler": ("scheduler_config.json",),
    "text_encoder": shards("model", 5),
    "tokenizer": _T5_FILES,
    "transformer": shards("diffusion_pytorch_model", 2),
    "vae": ("config.json", "diffusion_pytorch_model.safetensors"),
}
_WIDTH = 32  # of the text encoders and of FLUX's two heads together


def write_fill_hub(folder: Path) -> Path:
    """A repository laid out as black-forest-labs/FLUX.1-Fill-dev; the same bytes every time."""
    folder.mkdir(parents=True)
    _write_json(folder / "model_index.json", FILL_INDEX)
    FlowMatchEulerDiscreteScheduler(
        shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15
    ).save_pretrained(folder / "scheduler")
    words = write_clip_tokenizer(folder / "tokenizer")
    pieces = write_t5_tokenizer(folder / "tokenizer_2")
    torch.manual_seed(21)
    _save(_clip(words), folder / "text_encoder")
    _save(_t5(T5Config, T5EncoderModel, pieces), folder / "text_encoder_2", shard_count=2)
    _save(fill_transformer(), folder / "transformer", shard_count=3)
    _save(_fill_vae(), folder / "vae")
    return folder


def write_wan_hub(folder: Path) -> Path:
    """A repository laid out as Wan-AI/Wan2.1-T2V-1.3B-Diffusers; the same bytes every time."""
    folder.mkdir(parents=True)
    _write_json(folder / "model_index.json", WAN_INDEX)
    UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    ).save_pretrained(folder / "scheduler")
    pieces = write_t5_tokenizer(folder / "tokenizer")
    torch.manual_seed(22)
    _save(_t5(UMT5Config, UMT5EncoderModel, pieces), folder / "text_encoder", shard_count=5)
    _save(wan_transformer(), folder / "transformer", shard_count=2)
    _save(_wan_vae(), folder / "vae")
    return folder


def fill_transformer() -> FluxTransformer2DModel:
    """True channels, two heads of 16, two layers of one kind and three of the other."""
    return FluxTransformer2DModel(
        patch_size=1, in_channels=384, out_channels=64, num_layers=2, num_single_layers=3,
        attention_head_dim=16, num_attention_heads=2, joint_attention_dim=_WIDTH,
        pooled_projection_dim=_WIDTH, guidance_embeds=True, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip


def wan_transformer() -> WanTransformer3DModel:
    """True depth and latent channels, two heads of 12."""
    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16,
        out_channels=16, text_dim=_WIDTH, freq_dim=16, ffn_dim=32, num_layers=30,
        cross_attn_norm=True, qk_norm="rms_norm_across_heads", rope_max_seq_len=64,
    )  # fmt: skip


def _clip(words: int) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=words, hidden_size=_WIDTH, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=77, projection_dim=_WIDTH,
        bos_token_id=0, eos_token_id=2, pad_token_id=1,  # as published, though no token has them
    )  # fmt: skip
    return CLIPTextModel(config)


def _t5(config: Any, kind: Any, pieces: int) -> Any:
    return kind(
        config(
            vocab_size=pieces, d_model=_WIDTH, d_kv=16, d_ff=32, num_layers=2, num_heads=2,
            feed_forward_proj="gated-gelu", tie_word_embeddings=False,
        )
    )  # fmt: skip


def _fill_vae() -> AutoencoderKL:
    return AutoencoderKL(
        latent_channels=16, block_out_channels=(4, 4, 4, 4), layers_per_block=1,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=2, use_quant_conv=False, use_post_quant_conv=False,
        shift_factor=0.1159, scaling_factor=0.3611,
    )  # fmt: skip


def _wan_vae() -> AutoencoderKLWan:
    """16 latent channels with the published means and deviations, which are diffusers' own."""
    return AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1)


def _save(model: Any, folder: Path, shard_count: int = 1) -> None:
    model.save_pretrained(folder)
    if shard_count > 1:
        split_weights(next(folder.glob("*.safetensors")), shard_count)
    config = folder / "config.json"
    facts = json.loads(config.read_text())
    if "transformers_version" in facts:  # as the versions that wrote the published files have it
        facts |= {"torch_dtype": "float32", "transformers_version": "4.49.0"}
        facts.pop("dtype", None)
        _write_json(config, facts)


def split_weights(path: Path, count: int) -> None:
    """Put the tensors of a safetensors file into `count` shards and an index."""
    weights = load_file(path)
    weights.pop("encoder.embed_tokens.weight", None)  # `shared.weight`, once more
    names = sorted(weights)
    total = sum(value.numel() * value.element_size() for value in weights.values())
    weight_map: dict[str, str] = {}
    for index in range(count):
        shard = f"{path.stem}-{index + 1:05}-of-{count:05}.safetensors"
        own = names[index * len(names) // count : (index + 1) * len(names) // count]
        save_file({name: weights[name] for name in own}, path.parent / shard, {"format": "pt"})
        weight_map |= dict.fromkeys(own, shard)
    index_facts = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(path.with_name(f"{path.name}.index.json"), index_facts)
    path.unlink()


def copied(hub: Path, target: Path, spoil: Callable[[Path], None]) -> Path:
    """A copy of a repository after `spoil` was done to it."""
    shutil.copytree(hub, target)
    spoil(target)
    return target


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
