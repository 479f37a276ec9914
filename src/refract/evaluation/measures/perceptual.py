"""Perceptual distance between images: LPIPS where its canonical weights are at hand, else our own.

The two never share a key. `lpips` always means the published metric (Zhang et al. 2018, version
0.1, AlexNet trunk, by the `lpips` package). Without the trunk's weights the distance over the
configured CLIP's visual features is reported as `perceptual_micro`; its values compare only with
themselves.
"""

import hashlib
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import refract.models.torchvision_compat  # noqa: F401  (must precede lpips)

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.evaluation.measures.weights_file import read_weights
from refract.models.clip import ClipModel
from refract.pipeline.item_store import hash_file

logger = logging.getLogger(__name__)

# torchvision's file name holds the first digits of its SHA-256; both must agree.
HUB_NAME = "alexnet-owt-7be5be79.pth"
HUB_DIGEST = "7be5be79"

Images = Sequence[NDArray[np.uint8]]


class PerceptualDistance(Protocol):
    """A distance of image pairs and the metrics key it is reported under."""

    @property
    def key(self) -> str: ...

    @property
    def about(self) -> str: ...

    def __call__(self, images: Images, truths: Images) -> list[float]:
        """Distances of 8-bit RGB pairs `[H, W, 3]`; 0 for identical images, more is further."""


@dataclass(frozen=True)
class Lpips:
    """LPIPS, AlexNet, version 0.1: RGB scaled to [-1, 1], native resolution, no resize."""

    network: torch.nn.Module
    about: str
    device: torch.device
    batch: int
    key: str = "lpips"

    @torch.inference_mode()
    def __call__(self, images: Images, truths: Images) -> list[float]:
        distances: list[float] = []
        for start in range(0, len(images), self.batch):
            pair = [self._tensor(group[start : start + self.batch]) for group in (images, truths)]
            distances += self.network(*pair).flatten().tolist()
        return distances

    def _tensor(self, images: Images) -> torch.Tensor:
        stacked = torch.from_numpy(np.stack(images)).to(self.device)
        return rearrange(stacked, "n h w c -> n c h w").float() / 127.5 - 1.0


@dataclass
class ClipFeatureDistance:
    """LPIPS's form without its calibration, over the intermediate maps of a CLIP's visual tower.

    Per map: unit-normalise the channels at each place, sum the squared differences over the
    channels, average over places; then average over maps. Range 0..4. Images pass through the
    CLIP's own transform (its resolution, bicubic, RGB).
    """

    clip: ClipModel
    about: str
    key: str = "perceptual_micro"
    _truth: tuple[bytes, list[torch.Tensor]] = (b"", [])

    def __call__(self, images: Images, truths: Images) -> list[float]:
        distances: list[float] = []
        for start in range(0, len(images), self.clip.batch):
            ours = self.clip.feature_maps(images[start : start + self.clip.batch])
            theirs = self._truth_maps(truths[start : start + self.clip.batch])
            levels = [_map_distance(a, b) for a, b in zip(ours, theirs, strict=True)]
            distances += torch.stack(levels).mean(0).tolist()
        return distances

    def _truth_maps(self, truths: Images) -> list[torch.Tensor]:
        """Maps of the truths; the last ones stay, for many variants are held against one truth."""
        digest = hashlib.sha256(b"".join(truth.tobytes() for truth in truths)).digest()
        if self._truth[0] != digest:
            self._truth = digest, self.clip.feature_maps(truths)
        return self._truth[1]


def _map_distance(maps: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Feature maps `[N, C, h, w]` -> mean squared distance of unit channel vectors `[N]`."""
    # LPIPS's own epsilon; F.normalize clamps instead of adding, equal but at zero vectors.
    unit = [x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in (maps, other)]
    return (unit[0] - unit[1]).square().sum(1).mean((1, 2))


def choose_perceptual(
    lpips_weights: str | None, clip: ClipModel, clip_name: str
) -> PerceptualDistance:
    """LPIPS if its trunk is configured or in torchvision's cache, else `ClipFeatureDistance`.

    Raises InputError: a configured weights file that is missing or does not fit AlexNet.
    """
    trunk = find_trunk(lpips_weights)
    if trunk is not None:
        logger.info("lpips: AlexNet trunk from %s", trunk)
        return load_lpips(trunk, clip.device, batch=clip.batch)
    logger.warning(
        "lpips: no AlexNet weights (evaluate.lpips_weights is null and torchvision's cache has "
        "no %s); the key is left out, perceptual_micro over %s is reported instead",
        HUB_NAME,
        clip_name,
    )
    about = f"feature distance over {clip_name}, uncalibrated; not LPIPS (no AlexNet weights)"
    return ClipFeatureDistance(clip, about)


def find_trunk(lpips_weights: str | None) -> Path | None:
    """The configured AlexNet file, else torchvision's cached one, else None."""
    if lpips_weights is not None:
        path = Path(lpips_weights)
        if not path.is_file():
            raise InputError(
                f"evaluate.lpips_weights = {lpips_weights}: no such file; give torchvision's "
                "AlexNet weights as .safetensors or .pth, or null"
            )
        return path
    cached = Path(torch.hub.get_dir()) / "checkpoints" / HUB_NAME
    return cached if cached.is_file() and hash_file(cached).startswith(HUB_DIGEST) else None


def load_lpips(trunk: Path, device: torch.device, *, batch: int = 32) -> Lpips:
    """The `lpips` package's network over the AlexNet trunk in `trunk` (torchvision's key names)."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips still calls torchvision with `pretrained=`
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    weights = read_weights(trunk, "evaluate.lpips_weights:")
    try:
        for name, parameter in network.net.named_parameters():  # "slice2.3.weight"
            source = weights["features." + name.split(".", 1)[1]]
            with torch.no_grad():
                parameter.copy_(source)
    except (KeyError, RuntimeError, TypeError) as error:
        raise InputError(
            f"evaluate.lpips_weights: {trunk} is not torchvision's AlexNet ({error})"
        ) from error
    about = f"LPIPS 0.1 (AlexNet), lpips package, trunk {trunk.name} sha256 {hash_file(trunk)[:8]}"
    return Lpips(network.eval().requires_grad_(False).to(device), about, device, batch)
