"""Load the parts of a Wan text-to-video model from a diffusers folder or hub id, when needed."""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import refract.models.torchvision_compat  # noqa: F401  before diffusers and transformers

import torch

from refract.base.errors import InputError
from refract.models.identity import local_model_folder
from refract.models.loading import ModelSource, complete, load_tokenizer
from refract.models.memory_options import MemoryOptions, choose_attention, fit_transformer, fit_vae

logger = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_NO_OPTIONS = MemoryOptions("video_model")


class WanModel:
    """Text encoder, transformer and VAE of one model; each is loaded at its first use.

    The VAE always runs in float32, as diffusers advises for Wan: half precision bands the colours.
    Only safetensors are read.

    Attributes:
        layout: diffusers' name for the kind of folder that is read.
        setting: the key by which a user names the model.
    """

    layout: ClassVar[str] = "WanPipeline"
    setting: ClassVar[str] = "video_model.path"

    def __init__(
        self,
        path: str,
        revision: str | None,
        dtype: str,
        device: str,
        options: MemoryOptions = _NO_OPTIONS,
    ) -> None:
        """path: folder in diffusers layout or hub id. dtype: float32, bfloat16 or float16.

        options: how transformer and VAE are held and run; the text encoder knows none.
        Raises InputError for what is neither a folder here nor shaped like a hub id.
        """
        local_model_folder(path)  # to be told now, not at the first use
        self.name = path
        self.device, self.dtype, self.options = device, _DTYPES[dtype], options
        self._files = ModelSource(path, revision, self.setting, self.layout)

    @cached_property
    def transformer(self) -> Any:
        from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

        model = self._load("transformer", WanTransformer3DModel.from_pretrained, self.dtype)
        if model.config.image_dim is not None or model.config.in_channels != self.channels:
            raise InputError(
                f"model {self.name}: is an image-to-video transformer; a text-to-video one "
                f"(Wan2.1-T2V) is needed: see {self.setting}"
            )
        return model

    @cached_property
    def vae(self) -> Any:
        from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

        return self._load("vae", AutoencoderKLWan.from_pretrained, torch.float32)

    @cached_property
    def tokenizer(self) -> Any:
        return self._call("tokenizer", load_tokenizer)

    @cached_property
    def text(self) -> tuple[Any, Any]:
        """Tokenizer and text encoder."""
        from transformers import UMT5EncoderModel

        return self.tokenizer, self._load(
            "text_encoder", UMT5EncoderModel.from_pretrained, self.dtype
        )

    def drop_text(self) -> None:
        """Free the text encoder: at full scale it is larger than everything else together."""
        self.__dict__.pop("text", None)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    @property
    def channels(self) -> int:
        """Latent channels of the VAE."""
        return int(self.vae.config.z_dim)

    def padded(self, frames: int) -> int:
        """The least number of frames from `frames` on that the video VAE packs: 1 + k times 4."""
        return frames + -(frames - 1) % int(self.vae.config.scale_factor_temporal)

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
        model = self._call(part, complete(load), torch_dtype=dtype)
        model.eval().requires_grad_(False)
        if part == "transformer":
            choose_attention(model, self.options, self.device)
            fit_transformer(model, self.options, self.device)
            return model
        if part == "vae":
            fit_vae(model, self.options)
        return model.to(self.device)

    def _call(self, part: str, load: Callable[..., Any], **options: Any) -> Any:
        logger.info("loading %s of %s", part, self.name)
        return self._files.load(part, load, **options)
