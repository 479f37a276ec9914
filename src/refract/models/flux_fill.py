"""Parts of a FLUX Fill model folder (or hub id) in diffusers layout, each loaded when needed."""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import logging
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxTransformer2DModel,
)
from diffusers.pipelines.flux.pipeline_flux_fill import calculate_shift
from torch import Tensor
from transformers import CLIPTextModel, T5EncoderModel

from refract.base.errors import InputError
from refract.models.flux_tokens import VAE_SCALE
from refract.models.loading import ModelSource, complete, load_tokenizer
from refract.models.memory_options import MemoryOptions, choose_attention, fit_vae, memory_options
from refract.models.quantised_base import quantise_base
from refract.pipeline.device import free_memory

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


def options_of(model: ModelReference) -> MemoryOptions:
    """How the section wants the model held and run; InputError for what is not offered."""
    return memory_options(model, "infrared_model")


class TextEmbedding(NamedTuple):
    """What FLUX reads of a prompt: T5 tokens [1, T, D] and the pooled CLIP vector [1, P]."""

    tokens: Tensor
    pooled: Tensor


def files_of(model: ModelReference) -> ModelSource:
    """Where the section says that the model's parts are."""
    return ModelSource(model.path, model.revision, "infrared_model.path", "FluxFillPipeline")


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
    vae = files_of(model).load("vae", complete(AutoencoderKL.from_pretrained), dtype=_dtype(model))
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    if scale != VAE_SCALE:
        raise InputError(f"{model.path}/vae: reduces pictures by {scale}, expected {VAE_SCALE}")
    fit_vae(vae, options_of(model))
    return FillVae(vae.to(device).eval().requires_grad_(False))


def load_transformer(
    model: ModelReference, device: str, *, for_inference: bool = False, on_cpu: bool = False
) -> FluxTransformer2DModel:
    """The transformer, frozen, on `device`; InputError where it is not of the Fill kind.

    for_inference: where it may be too large for `device`, it waits on the CPU for the LoRA and for
        `InfraredModel.fit_memory`. A training holds and computes it as it is.
    on_cpu: it waits there in any case, for the one who brings it to `device` piece by piece.
    A quantised one is brought to `device` layer by layer, whoever asks.
    """
    options = options_of(model)
    if options.quantization is not None and on_cpu:
        raise InputError(
            f"infrared_model.quantization = {options.quantization}: does not go with sharded "
            "weights (FSDP); set it to null or launch without FSDP"
        )
    load = complete(FluxTransformer2DModel.from_pretrained)
    transformer = files_of(model).load("transformer", load, dtype=_dtype(model))
    config = transformer.config
    if config.in_channels != 6 * (config.out_channels or config.in_channels):
        raise InputError(
            f"{model.path}/transformer: {config.in_channels} input channels for "
            f"{config.out_channels} output channels, a Fill model has six times as many "
            "(noisy latents 1, masked picture 1, mask 4)"
        )
    transformer.eval().requires_grad_(False)
    choose_attention(transformer, options, device)
    if options.quantization is not None:
        quantise_base(transformer, options.quantization, options.section, device)
        return transformer
    waits = on_cpu or (for_inference and options.loads_on_cpu)
    return transformer.to("cpu" if waits else device)


def encode_prompts(
    model: ModelReference, prompts: list[str], device: str
) -> dict[str, TextEmbedding]:
    """Embed prompts with the pipeline's own encoders, then free the encoders."""
    pipeline = _text_pipeline(model).to(device)
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


def _text_pipeline(model: ModelReference) -> FluxFillPipeline:
    """The pipeline with what reads prompts, and nothing else."""
    files, dtype = files_of(model), _dtype(model)
    return FluxFillPipeline(
        tokenizer=files.load("tokenizer", load_tokenizer),
        tokenizer_2=files.load("tokenizer_2", load_tokenizer),
        text_encoder=files.load(
            "text_encoder", complete(CLIPTextModel.from_pretrained), dtype=dtype
        ),
        text_encoder_2=files.load(
            "text_encoder_2", complete(T5EncoderModel.from_pretrained), dtype=dtype
        ),
        scheduler=None,
        transformer=None,
        vae=None,
    )


def load_sigmas(model: ModelReference, steps: int, tokens: int) -> Tensor:
    """The K + 1 descending noise levels of the model's own scheduler, from 1 (or less) to 0."""
    load = FlowMatchEulerDiscreteScheduler.from_pretrained
    scheduler = files_of(model).load("scheduler", load)
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
