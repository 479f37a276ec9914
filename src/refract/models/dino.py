"""A DINO image encoder loaded by `transformers`, from a local folder or a hub repository.

Only where one is configured: no such model is small enough to come with the project.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  (must precede transformers)

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from refract.base.errors import InputError
from refract.models.identity import check_shards, local_model_folder
from refract.models.pinned_revisions import revision_of

MODEL_TYPES = ("dinov2", "dinov2_with_registers", "vit")


@dataclass(frozen=True)
class DinoModel:
    """Vision transformer with its own image processor (resize, centre crop, normalisation).

    The feature is the class token after the last layer norm, as in DreamBooth's DINO score
    (Ruiz et al. 2023), which takes ViT-S/16 of DINO; figures of other models do not compare.
    """

    network: torch.nn.Module
    processor: Callable[..., Any]
    device: torch.device
    batch: int = 32  # images a forward pass
    key: str = "dino"

    @torch.inference_mode()
    def image_features(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Unit-length image embeddings `[N, D]` of 8-bit RGB images `[H, W, 3]`, on the CPU."""
        features = []
        for start in range(0, len(images), self.batch):
            batch = list(images[start : start + self.batch])
            pixels = self.processor(batch, return_tensors="pt", input_data_format="channels_last")
            seen = self.network(pixel_values=pixels["pixel_values"].to(self.device))
            features.append(seen.last_hidden_state[:, 0].float().cpu())  # [N, D]
        return torch.nn.functional.normalize(torch.cat(features), dim=1)


def load_dino(path_or_id: str, revision: str | None, device: torch.device) -> DinoModel:
    """Load a DINO, DINOv2 or other plain ViT in fp32 from its safetensors, evaluation mode.

    Raises:
        InputError: no such folder or repository, a missing file, or a model of another kind.
    """
    from transformers import AutoConfig, AutoImageProcessor, AutoModel

    folder = local_model_folder(path_or_id)
    source = path_or_id if folder is None else str(folder)
    options: dict[str, Any] = {"local_files_only": True}
    if folder is None:
        options = {"revision": revision_of(path_or_id, revision)}

    def load(part: Any, **more: Any) -> Any:
        try:
            if folder is not None:
                check_shards(folder)
            return part.from_pretrained(source, trust_remote_code=False, **options, **more)
        except (ValueError, RuntimeError, KeyError, TypeError, OSError, SafetensorError) as error:
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"evaluate.dino_model = {path_or_id}: {first_line}") from error

    kind = load(AutoConfig).model_type
    if kind not in MODEL_TYPES:
        raise InputError(
            f"evaluate.dino_model = {path_or_id}: a model of type {kind}; "
            f"allowed are {', '.join(MODEL_TYPES)}"
        )
    processor = load(AutoImageProcessor)
    network = load(AutoModel, dtype=torch.float32, use_safetensors=True)
    return DinoModel(network.eval().requires_grad_(False).to(device), processor, device)
