"""A CLIP image encoder loaded by `open_clip`, from a local folder or a hub repository.

The folder holds `open_clip_config.json` and `open_clip_model.safetensors` (open_clip's own hub
layout); no other weight format is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import refract.torchvision_compat  # noqa: F401  (must precede open_clip)

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from refract.errors import InputError
from refract.model_identity import local_model_folder

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"


@dataclass(frozen=True)
class ClipModel:
    """open_clip network with its own image transform (resize, crop, normalisation)."""

    network: torch.nn.Module
    transform: Callable[[Image.Image], torch.Tensor]
    device: torch.device
    batch: int  # images a forward pass

    def pixels(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """8-bit RGB images `[H, W, 3]` -> network input `[N, 3, S, S]`."""
        return torch.stack([self.transform(Image.fromarray(image)) for image in images])

    @torch.inference_mode()
    def image_features(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Unit-length image embeddings `[N, D]` of 8-bit RGB images, on the CPU."""
        encode: Any = self.network.encode_image
        features = []
        for start in range(0, len(images), self.batch):
            batch = self.pixels(images[start : start + self.batch]).to(self.device)
            features.append(encode(batch, normalize=True).float().cpu())
        return torch.cat(features)

    @torch.inference_mode()
    def text_features(self, tokens: torch.Tensor) -> torch.Tensor:
        """Unit-length text embeddings `[N, D]` of token ids `[N, L]`, on the CPU."""
        encode: Any = self.network.encode_text
        return encode(tokens.to(self.device), normalize=True).float().cpu()

    @torch.inference_mode()
    def feature_maps(self, images: Sequence[NDArray[np.uint8]]) -> list[torch.Tensor]:
        """The visual tower's intermediate maps, shallow to deep, each `[N, C, h, w]`."""
        batch = self.pixels(images).to(self.device)
        visual: Any = self.network.visual
        found = visual.forward_intermediates(batch, intermediates_only=True)
        return [level.float() for level in found["image_intermediates"]]


def clip_folder(path_or_id: str, revision: str | None) -> Path:
    """Local folder of the model; a hub id is fetched (config and safetensors only) first."""
    folder = local_model_folder(path_or_id) or _fetch(path_or_id, revision)
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise InputError(
                f"evaluate.clip_model = {path_or_id}: {name} is missing; the folder must hold "
                f"{CONFIG_NAME} and {WEIGHTS_NAME}"
            )
    return folder


def _fetch(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repository, revision=revision, allow_patterns=[CONFIG_NAME, WEIGHTS_NAME]
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"evaluate.clip_model = {repository}: neither a folder nor a hub repository that "
            f"can be fetched ({type(error).__name__})"
        ) from error
    return Path(found)


def load_clip(
    path_or_id: str, revision: str | None, device: torch.device, *, batch: int = 128
) -> ClipModel:
    """Load the configured CLIP in fp32, evaluation mode.

    Raises:
        InputError: no such folder or repository, a missing file, or files open_clip refuses.
    """
    import open_clip

    folder = clip_folder(path_or_id, revision)
    try:
        network, transform = open_clip.create_model_from_pretrained(
            f"local-dir:{folder}", precision="fp32", device=device
        )
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"evaluate.clip_model = {path_or_id}: {first_line}") from error
    return ClipModel(network.eval().requires_grad_(False), transform, device, batch)
