"""Load the parts of a Wan text-to-video model from a diffusers folder or hub id, when needed."""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import refract.torchvision_compat  # noqa: F401  before diffusers and transformers

import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError

from refract.errors import InputError
from refract.model_identity import local_model_folder

logger = logging.getLogger(__name__)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# The root of the errors of huggingface_hub's HTTP client, named through it since the client changes
# between its versions. A connection that breaks during a download is no OSError.
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
_LOAD_ERRORS = (
    OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError, _HTTP_ERROR,
)  # fmt: skip


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

    def __init__(self, path: str, revision: str | None, dtype: str, device: str) -> None:
        """path: folder in diffusers layout or hub id. dtype: float32, bfloat16 or float16.

        Raises InputError for what is neither a folder here nor shaped like a hub id.
        """
        folder = local_model_folder(path)
        self.name = path
        self.device, self.dtype = device, _DTYPES[dtype]
        self._source = path if folder is None else str(folder)
        self._on_hub = folder is None
        self._revision = revision if self._on_hub else None

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
        from transformers import AutoTokenizer

        return self._call("tokenizer", AutoTokenizer.from_pretrained)

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
        model = self._call(part, load, torch_dtype=dtype, use_safetensors=True).to(self.device)
        return model.eval().requires_grad_(False)

    def _call(self, part: str, load: Callable[..., Any], **options: Any) -> Any:
        logger.info("loading %s of %s", part, self.name)
        try:
            return load(self._source, subfolder=part, revision=self._revision, **options)
        except _LOAD_ERRORS as error:
            if "out of memory" in str(error).lower():
                raise
            raise InputError(
                f"model {self.name}: cannot load {part}: {_reason(error)}; {self._advice()}"
            ) from error

    def _advice(self) -> str:
        layout = f"in the layout of diffusers' {self.layout}, with safetensors"
        if self._on_hub:
            return (
                f"its page, where its licence is, is https://huggingface.co/{self.name}; without "
                f"access to it, set {self.setting} to a local folder {layout}"
            )
        return f"a folder or hub id {layout}, is needed: see {self.setting}"


def _reason(error: BaseException) -> str:
    """First line of an error, or that the hub was not reached.

    diffusers calls the latter a missing file, which sends the reader the wrong way.
    """
    cause: BaseException | None = error
    while cause is not None:
        no_answer = isinstance(cause, _HTTP_ERROR) and not isinstance(cause, HfHubHTTPError)
        if no_answer or isinstance(cause, LocalEntryNotFoundError):
            kind = type(cause).__name__
            return f"it is not in the cache and the hub cannot be reached ({kind})"
        cause = cause.__cause__ or cause.__context__
    return str(error).strip().partition("\n")[0] or type(error).__name__
