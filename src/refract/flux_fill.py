"""Parts of a FLUX Fill model folder (or hub id) in diffusers layout, each loaded when needed."""

import refract.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import logging
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import diffusers.utils.logging
import numpy as np
import torch
import transformers.utils.logging
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxTransformer2DModel,
)
from diffusers.pipelines.flux.pipeline_flux_fill import calculate_shift
from torch import Tensor

from refract.device import free_memory
from refract.errors import InputError
from refract.latent_packing import VAE_SCALE
from refract.model_identity import local_model_folder

logger = logging.getLogger(__name__)


class ModelReference(Protocol):
    """The `infrared_model` section, or anything shaped like it."""

    @property
    def path(self) -> str: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def max_sequence_length(self) -> int: ...


class TextEmbedding(NamedTuple):
    """What FLUX reads of a prompt: T5 tokens [1, T, D] and the pooled CLIP vector [1, P]."""

    tokens: Tensor
    pooled: Tensor


def load_part(part: Any, subfolder: str, model: ModelReference, **options: Any) -> Any:
    """`part.from_pretrained` of one subfolder; InputError where it is missing or unreadable."""
    folder = local_model_folder(model.path)
    try:
        return part.from_pretrained(
            str(folder or model.path),
            subfolder=subfolder,
            revision=model.revision,
            **options,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise InputError(
            f"{model.path}/{subfolder}: cannot load a {part.__name__}: {error}"
        ) from error


@dataclass(frozen=True)
class FillVae:
    """Pictures [B, 3, H, W] in [-1, 1] to FLUX latents [B, 16, H/8, W/8] and back."""

    vae: AutoencoderKL

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """The mode of the posterior, not a sample: the same picture gives the same latents."""
        return self.encode_with_gradient(pictures)

    def encode_with_gradient(self, pictures: Tensor) -> Tensor:
        """`encode`, differentiable in the pictures."""
        config = self.vae.config
        latents = self.vae.encode(pictures.to(self.vae.device, self.vae.dtype)).latent_dist.mode()
        scaled: Tensor = (latents - config.shift_factor) * config.scaling_factor
        return scaled

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures, clamped to [-1, 1]."""
        config = self.vae.config
        shifted = latents.to(self.vae.dtype) / config.scaling_factor + config.shift_factor
        return self.vae.decode(shifted).sample.clamp(-1, 1)


def load_vae(model: ModelReference, device: str) -> FillVae:
    """The image VAE, frozen, on `device`; InputError where it is not of FLUX's geometry."""
    vae = load_part(AutoencoderKL, "vae", model, dtype=_dtype(model))
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    if scale != VAE_SCALE:
        raise InputError(f"{model.path}/vae: reduces pictures by {scale}, expected {VAE_SCALE}")
    return FillVae(vae.to(device).eval().requires_grad_(False))


def load_transformer(model: ModelReference, device: str) -> FluxTransformer2DModel:
    """The transformer, frozen, on `device`; InputError where it is not of the Fill kind."""
    transformer = load_part(FluxTransformer2DModel, "transformer", model, dtype=_dtype(model))
    config = transformer.config
    if config.in_channels != 6 * (config.out_channels or config.in_channels):
        raise InputError(
            f"{model.path}/transformer: {config.in_channels} input channels for "
            f"{config.out_channels} output channels, a Fill model has six times as many "
            "(noisy latents 1, masked picture 1, mask 4)"
        )
    return transformer.to(device).eval().requires_grad_(False)


def encode_prompts(
    model: ModelReference, prompts: list[str], device: str
) -> dict[str, TextEmbedding]:
    """Embed prompts with the pipeline's own encoders, then free the encoders."""
    folder = local_model_folder(model.path)
    diffusers.utils.logging.disable_progress_bar()  # a stage shows its own progress alone
    transformers.utils.logging.disable_progress_bar()
    try:
        pipeline = FluxFillPipeline.from_pretrained(
            str(folder or model.path),
            revision=model.revision,
            dtype=_dtype(model),
            transformer=None,
            vae=None,
        ).to(device)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{model.path}: cannot load the text encoders: {error}") from error
    embeddings = {}
    with torch.no_grad():
        for prompt in prompts:
            tokens, pooled, _ = pipeline.encode_prompt(
                prompt=prompt, prompt_2=prompt, max_sequence_length=model.max_sequence_length
            )
            embeddings[prompt] = TextEmbedding(tokens, pooled)
    del pipeline
    free_memory()
    return embeddings


def load_sigmas(model: ModelReference, steps: int, tokens: int) -> Tensor:
    """The K + 1 descending noise levels of the model's own scheduler, from 1 (or less) to 0."""
    scheduler = load_part(FlowMatchEulerDiscreteScheduler, "scheduler", model)
    config = scheduler.config
    shift = calculate_shift(
        tokens,
        config.base_image_seq_len,
        config.max_image_seq_len,
        config.base_shift,
        config.max_shift,
    )
    mu = shift if config.use_dynamic_shifting else None
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    return scheduler.sigmas.float()


def _dtype(model: ModelReference) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, model.dtype)
    return dtype
