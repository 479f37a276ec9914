"""Whether a stock pipeline can take an adapter: its transformer, its base, its types."""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
from pathlib import Path
from typing import Any

from diffusers import FluxTransformer2DModel

from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import AdapterConfig
from refract.models.flux_tokens import VAE_SCALE
from refract.models.identity import model_identity


def fill_transformer(pipeline: Any) -> FluxTransformer2DModel:
    """The transformer of a pipeline the adapter can go into; InputError if there is none."""
    transformer = getattr(pipeline, "transformer", None)
    name = type(pipeline).__name__
    if not isinstance(transformer, FluxTransformer2DModel):
        raise InputError(f"{name}: has no FLUX transformer; a FluxFillPipeline is needed")
    channels, out = transformer.config.in_channels, transformer.config.out_channels
    if channels != 6 * (out or channels):
        raise InputError(
            f"{name}: its transformer reads {channels} channels and gives {out or channels}, "
            "a FLUX Fill model reads six times as many as it gives"
        )
    if pipeline.vae_scale_factor != VAE_SCALE:
        raise InputError(f"{name}: its VAE reduces by {pipeline.vae_scale_factor}, not {VAE_SCALE}")
    if loras := sorted(getattr(transformer, "peft_config", {})):
        raise InputError(
            f"{name}: already has a LoRA ({', '.join(loras)}); take it off first, an infrared "
            "adapter with remove(), any other with pipeline.unload_lora_weights()"
        )
    if transformer.device.type == "meta":
        raise InputError(f"{name}: offloaded module by module; use enable_model_cpu_offload()")
    return transformer


def check_base(pipeline: Any, config: AdapterConfig, folder: Path) -> None:
    """InputError where the manifest of the pipeline's folder is not that of the training's base."""
    path = pipeline.name_or_path
    known = path is not None and (Path(path) / "manifest.json").is_file()
    if not known or not config.model_identity.startswith("manifest:"):
        return
    identity = model_identity(str(path), None)
    if identity != config.model_identity:
        raise InputError(
            f"{path}: is {identity}, the adapter in {folder} was trained on "
            f"{config.model_identity}; pass match_training=False to go on"
        )


def check_types(pipeline: Any) -> None:
    """InputError where the pipeline, which hands its VAE the type of the text, would fail there.

    Left to itself `from_pretrained` loads text encoders as stored and all else in float32.
    """
    text, vae = getattr(pipeline.text_encoder_2, "dtype", None), pipeline.vae.dtype
    if text not in (None, vae):
        raise InputError(
            f"{type(pipeline).__name__}: its text encoder is {text}, its VAE {vae}; load the whole "
            "in one type, as from_pretrained(..., dtype=torch.float32) does"
        )
