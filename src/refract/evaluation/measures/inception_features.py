"""The 2048 pool features of the FID's Inception-v3, by the protocol of clean-fid.

Parmar, Zhang and Zhu 2022: every 8-bit channel is resized to 299 x 299 by PIL's antialiased
bicubic filter in floating point, clipped to 0..255 and not rounded, then scaled by (x - 128) / 128.
The network is that of the original FID code (TensorFlow, 2015-12-05) from torch-fidelity,
whose own `forward` takes rounded pictures only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import refract.models.torchvision_compat  # noqa: F401  (must precede torch_fidelity, which imports it)

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from refract.base.errors import InputError
from refract.evaluation.weights.weights_file import read_weights
from refract.pipeline.item_store import hash_file

ORIGINAL_DIGEST = "6726825d"  # begins the SHA-256 of pt_inception-2015-12-05-6726825d.pth
DIMENSION = 2048
_SIDE = 299


def clean_resize(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """8-bit RGB `[H, W, 3]` -> float `[299, 299, 3]` in 0..255, not rounded."""
    channels = [
        Image.fromarray(channel.astype(np.float32)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        for channel in rearrange(image, "h w c -> c h w")
    ]
    return np.stack([np.asarray(channel) for channel in channels], -1).clip(0, 255)


@dataclass(frozen=True)
class InceptionFeatures:
    """Features whose Frechet distance is the FID; `about` names the weights file."""

    network: torch.nn.Module
    about: str
    device: torch.device
    batch: int
    key: str = "fid"
    dimension: int = DIMENSION

    @torch.inference_mode()
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features `[N, 2048]` of 8-bit RGB images `[H, W, 3]`; gray ones are repeated before."""
        features = []
        for start in range(0, len(images), self.batch):
            resized = np.stack([clean_resize(x) for x in images[start : start + self.batch]])
            pixels = torch.from_numpy(rearrange(resized, "n h w c -> n c h w")).to(self.device)
            features.append(self.network((pixels - 128) / 128).float().cpu())
        return torch.cat(features).numpy()


def load_inception(weights: Path, device: torch.device, *, batch: int = 32) -> InceptionFeatures:
    """The network with the weights in `weights`, a state dict as .safetensors or .pth.

    The file of pytorch-fid and that of torch-fidelity (the same one) fit as they are.

    Raises InputError: no such file, an unreadable one, or weights of another network.
    """
    if not weights.is_file():
        raise InputError(
            f"Inception weights {weights}: no such file; give pytorch-fid's "
            "pt_inception-2015-12-05-6726825d.pth or the same as .safetensors, or null"
        )
    network = _network(weights, read_weights(weights, "Inception weights")).to(device)
    digest = hash_file(weights)[:8]
    origin = "the original" if digest == ORIGINAL_DIGEST else "not the original file"
    about = (
        f"FID, clean-fid protocol (PIL bicubic to 299 px, float, gray repeated to RGB), "
        f"{weights.name} sha256 {digest}, {origin}"
    )
    return InceptionFeatures(network, about, device, batch)


def _network(weights: Path, state: dict[str, torch.Tensor]) -> torch.nn.Sequential:
    """torch-fidelity's network up to its pool: its layers lie in their order, the classes last."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with NamedTemporaryFile(suffix=".pth") as file:  # it unpickles a file: this one, not the user's
        torch.save(state, file.name)
        try:
            whole = FeatureExtractorInceptionV3("inception", [str(DIMENSION)], file.name)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"Inception weights {weights}: do not fit ({reason}); needed is the network of the "
                "FID, not ImageNet's usual Inception of 1000 classes"
            ) from error
    return torch.nn.Sequential(*list(whole.children())[:-1], torch.nn.Flatten())
