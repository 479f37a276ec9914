"""LPIPS, the perceptual distance of images: version 0.1, AlexNet; Zhang et al. 2018.

The network and its calibration are the `lpips` package's, which brings no weights of AlexNet.
Where those are not at hand there is no LPIPS, and nothing stands in for it.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.base.lean_imports import lean_imports
from refract.evaluation.weights.weights_file import read_weights

_HEADS = "weights/v0.1/alex.pth"  # of the lpips package
_MOST_PIXELS = 2**20  # a forward pass: some 100 bytes of activations a pixel

Images = Sequence[NDArray[np.uint8]]
Features = list[torch.Tensor]  # the network's five maps, unit channel vectors, each [N, C, h, w]


@dataclass(frozen=True)
class Lpips:
    """LPIPS of 8-bit RGB images `[H, W, 3]`, all of one size, scaled to [-1, 1]; no resize."""

    network: Any  # lpips.LPIPS
    device: torch.device

    @torch.inference_mode()
    def features(self, images: Images) -> Features:
        """What the network sees of the images that others are held against."""
        maps = [self._features(chunk) for chunk in _chunks(images)]
        return [torch.cat(level) for level in zip(*maps, strict=True)]

    @torch.inference_mode()
    def distances(self, images: Images, truths: Features) -> list[float]:
        """The distance of each image to its truth, or of all to a single one; 0 if identical."""
        distances: list[float] = []
        for chunk in _chunks(images):
            place = slice(len(distances), len(distances) + len(chunk))
            theirs = truths if len(truths[0]) == 1 else [level[place] for level in truths]
            distances += self.between(self._features(chunk), theirs)
        return distances

    @torch.inference_mode()
    def between(self, ours: Features, theirs: Features) -> list[float]:
        """The second half of the package's `LPIPS.forward`; one of either meets all the others."""
        levels = zip(self.network.lins, ours, theirs, strict=True)
        means = [head((a - b).square()).mean((1, 2, 3)) for head, a, b in levels]
        distances: list[float] = torch.stack(means).sum(0).tolist()
        return distances

    def _features(self, images: Images) -> Features:
        import lpips

        stacked = torch.from_numpy(np.stack(images)).to(self.device)
        pixels = rearrange(stacked, "n h w c -> n c h w").float() / 127.5 - 1.0
        maps = self.network.net(self.network.scaling_layer(pixels))
        return [lpips.normalize_tensor(level) for level in maps]


def _chunks(images: Images) -> list[Images]:
    most = max(1, _MOST_PIXELS // (images[0].shape[0] * images[0].shape[1]))
    return [images[start : start + most] for start in range(0, len(images), most)]


def load_lpips(trunk: Path, device: torch.device) -> Lpips:
    """The `lpips` package's network over the AlexNet trunk in `trunk` (torchvision's key names)."""
    import refract.models.torchvision_compat  # noqa: F401  (must precede lpips)

    with lean_imports():
        import lpips

    # Without values, for drawing those of a whole AlexNet takes a second.
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips still calls torchvision with `pretrained=`
        network = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    weights = read_weights(trunk, "evaluate.lpips_weights:")
    state = read_weights(Path(lpips.__file__).parent / _HEADS, "lpips:")
    try:
        for name, _ in network.net.named_parameters():  # "slice2.3.weight"
            state[f"net.{name}"] = weights["features." + name.split(".", 1)[1]]
        network.load_state_dict(state, strict=False, assign=True)  # it names its heads twice
    except (KeyError, RuntimeError, TypeError) as error:
        raise InputError(
            f"evaluate.lpips_weights: {trunk} is not torchvision's AlexNet ({error})"
        ) from error
    network = network.float().eval().requires_grad_(False)
    return Lpips(network.to(device, memory_format=torch.channels_last), device)
