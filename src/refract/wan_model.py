"""Load the parts of a Wan text-to-video model from a diffusers folder or hub id, when needed."""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

import refract.torchvision_compat  # noqa: F401  before diffusers and transformers

import torch

from refract.errors import InputError
from refract.model_identity import local_model_folder

logger = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class WanModel:
    """Text encoder, transformer and VAE of one model; each is loaded at its first use.

    The VAE always runs in float32, as diffusers advises for Wan: half precision bands the colours.
    """

    def __init__(self, path: str, revision: str | None, dtype: str, device: str) -> None:
        folder = local_model_folder(path)
        self.name = path
        self.device, self.dtype = device, _DTYPES[dtype]
        self._source = path if folder is None else str(folder)
        self._revision = revision if folder is None else None

    @cached_property
    def transformer(self) -> Any:
        from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

        model = self._load("transformer", WanTransformer3DModel.from_pretrained, self.dtype)
        if model.config.image_dim is not None or model.config.in_channels != self.channels:
            raise InputError(
                f"model {self.name}: is an image-to-video transformer; a text-to-video one "
                "(Wan2.1-T2V) is needed"
            )
        return model

    @cached_property
    def vae(self) -> Any:
        from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

        return self._load("vae", AutoencoderKLWan.from_pretrained, torch.float32)

    @cached_property
    def text(self) -> tuple[Any, Any]:
        """Tokenizer and text encoder."""
        from transformers import AutoTokenizer, UMT5EncoderModel

        tokenizer = self._call("tokenizer", AutoTokenizer.from_pretrained)
        return tokenizer, self._load("text_encoder", UMT5EncoderModel.from_pretrained, self.dtype)

    def drop_text(self) -> None:
        """Free the text encoder: at full scale it is larger than everything else together."""
        self.__dict__.pop("text", None)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    @property
    def channels(self) -> int:
        """Latent channels of the VAE."""
        return int(self.vae.config.z_dim)

    def check_frame(self, width: int, height: int, frames: int) -> None:
        """InputError unless the model's grid holds a clip of this shape."""
        vae, (p_t, p_h, p_w) = self.vae.config, self.transformer.config.patch_size
        for key, value, step in (
            ("width", width, vae.scale_factor_spatial * p_w),
            ("height", height, vae.scale_factor_spatial * p_h),
        ):
            if value % step:
                raise InputError(
                    f"flowalign.{key} = {value}: must be a multiple of {step} for this model"
                )
        if (frames - 1) % vae.scale_factor_temporal or p_t != 1:
            raise InputError(
                f"flowalign.frames = {frames}: must be {vae.scale_factor_temporal}k + 1 "
                "for this model"
            )

    def _load(self, part: str, load: Callable[..., Any], dtype: torch.dtype) -> Any:
        model = self._call(part, load, torch_dtype=dtype).to(self.device)
        return model.eval().requires_grad_(False)

    def _call(self, part: str, load: Callable[..., Any], **options: Any) -> Any:
        logger.info("loading %s of %s", part, self.name)
        try:
            return load(self._source, subfolder=part, revision=self._revision, **options)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            if "out of memory" in str(error).lower():
                raise
            first = str(error).strip().partition("\n")[0]
            raise InputError(
                f"model {self.name}: cannot load {part}: {first}; a folder or hub id in the "
                "layout of diffusers' WanPipeline is needed"
            ) from error
