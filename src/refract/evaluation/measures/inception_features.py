"""The 2048 pool features of the FID's Inception-v3, by the protocol of clean-fid.

Parmar, Zhang and Zhu 2022: every 8-bit channel is resized to 299 x 299 by PIL's antialiased
bicubic filter in floating point, clipped to 0..255 and not rounded, then scaled by (x - 128) / 128.
The network is that of the original FID code (TensorFlow, 2015-12-05), from blocks of the package
torch-fidelity; its own loader would unpickle the file, so the chain is put together here.
"""

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must precede torch_fidelity, which imports it)

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from refract.base.errors import InputError

ORIGINAL_DIGEST = "6726825d"  # begins the SHA-256 of pt_inception-2015-12-05-6726825d.pth
DIMENSION = 2048
_SIDE = 299
# ImageNet's usual Inception (1000 classes) has the same names and shapes up to here, and would
# give a number that is no FID.
_CLASSES = 1008


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


def inception_trunk() -> torch.nn.Sequential:
    """Inception-v3 of the original FID up to its pool, under the names its weights files use."""
    from torch.nn import AdaptiveAvgPool2d, Flatten, MaxPool2d
    from torch_fidelity import feature_extractor_inceptionv3 as blocks

    conv, c = blocks.BasicConv2d, blocks.InceptionC
    layers = {
        "Conv2d_1a_3x3": conv(3, 32, kernel_size=3, stride=2),
        "Conv2d_2a_3x3": conv(32, 32, kernel_size=3),
        "Conv2d_2b_3x3": conv(32, 64, kernel_size=3, padding=1),
        "MaxPool_1": MaxPool2d(kernel_size=3, stride=2),
        "Conv2d_3b_1x1": conv(64, 80, kernel_size=1),
        "Conv2d_4a_3x3": conv(80, 192, kernel_size=3),
        "MaxPool_2": MaxPool2d(kernel_size=3, stride=2),
        "Mixed_5b": blocks.InceptionA(192, pool_features=32),
        "Mixed_5c": blocks.InceptionA(256, pool_features=64),
        "Mixed_5d": blocks.InceptionA(288, pool_features=64),
        "Mixed_6a": blocks.InceptionB(288),
        "Mixed_6b": c(768, channels_7x7=128),
        "Mixed_6c": c(768, channels_7x7=160),
        "Mixed_6d": c(768, channels_7x7=160),
        "Mixed_6e": c(768, channels_7x7=192),
        "Mixed_7a": blocks.InceptionD(768),
        "Mixed_7b": blocks.InceptionE_1(1280),
        "Mixed_7c": blocks.InceptionE_2(2048),
        "AvgPool": AdaptiveAvgPool2d(1),
        "Flatten": Flatten(),
    }
    return torch.nn.Sequential(OrderedDict(layers))


def load_inception(weights: Path, device: torch.device, *, batch: int = 32) -> InceptionFeatures:
    """The network with the weights in `weights`, a state dict as .safetensors or .pth.

    The file of pytorch-fid and that of torch-fidelity (the same one) fit as they are.

    Raises:
        InputError: no such file, an unreadable one, or weights of another network.
    """
    if not weights.is_file():
        raise InputError(
            f"Inception weights {weights}: no such file; give pytorch-fid's "
            "pt_inception-2015-12-05-6726825d.pth or the same as .safetensors, or null"
        )
    state = _read_weights(weights)
    _check_is_fid_network(weights, state)
    # A module builds quickly without its own random weights, which would be overwritten at once.
    with torch.device("meta"):
        network = inception_trunk()
    wanted = network.state_dict()
    chosen = {name: value for name, value in state.items() if name in wanted}
    # Counters of training batches are no weights and older files lack them.
    chosen |= {name: torch.tensor(0) for name in wanted if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict(chosen, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"Inception weights {weights}: do not fit ({reason})") from error
    digest = _digest(weights)[:8]
    origin = "the original" if digest == ORIGINAL_DIGEST else "not the original file"
    about = (
        f"FID, clean-fid protocol (PIL bicubic to 299 px, float, gray repeated to RGB), "
        f"{weights.name} sha256 {digest}, {origin}"
    )
    network = network.eval().float().requires_grad_(False).to(device)
    return InceptionFeatures(network, about, device, batch)


def _check_is_fid_network(path: Path, state: dict[str, torch.Tensor]) -> None:
    found = tuple(state["fc.weight"].shape) if "fc.weight" in state else None
    if found != (_CLASSES, DIMENSION):
        raise InputError(
            f"Inception weights {path}: fc.weight {found}, must be {(_CLASSES, DIMENSION)}; "
            "ImageNet's usual Inception of 1000 classes is not the network of the FID"
        )


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # The original is published in this format only; weights_only runs no code from it.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"Inception weights {path}: not readable ({reason})") from error
    if not isinstance(state, dict):
        raise InputError(f"Inception weights {path}: must hold a state dict")
    return state


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
