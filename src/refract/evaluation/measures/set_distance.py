"""How far a set of pictures is from a set of true ones as a whole, whatever picture pairs which.

With the weights of the FID's Inception it is the FID. Without them it is the Frechet distance over
the image embeddings of the configured CLIP, under that CLIP's own key: its values compare only
with themselves.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.evaluation.measures.perceptual import Images
from refract.models.clip import ClipModel

logger = logging.getLogger(__name__)

_FEW = 2048  # below it clean-fid warns of its own figures


class ImageFeatures(Protocol):
    """Features `[N, D]` of 8-bit RGB images, and the metrics key of their Frechet distance."""

    @property
    def key(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def __call__(self, images: Images) -> NDArray[np.floating]: ...


@dataclass(frozen=True)
class ClipImageFeatures:
    """Unit-length image embeddings of a CLIP, behind its own resize, crop and normalisation."""

    load: Callable[[], ClipModel]  # not asked where the pictures are too few
    key: str
    about: str
    dimension: int

    def __call__(self, images: Images) -> NDArray[np.floating]:
        return np.asarray(self.load().image_features(images).numpy())


@dataclass(frozen=True)
class SetDistances:
    """Distance of each variant's pictures to the truths; none where the set was too small."""

    key: str
    about: str
    values: Mapping[str, float]


def set_distances(
    variants: Mapping[str, Images], truths: Images, features: ImageFeatures
) -> SetDistances:
    """Frechet distance of each set of 8-bit RGB images to the truths; lower is closer.

    None is computed where the truths do not outnumber the features: their covariance would be
    singular, and the figure would tell the count of images before it told their likeness.
    """
    count, needed = len(truths), features.dimension
    if count <= needed:
        note = f"left out: {count} images, must be more than its {needed} features"
        logger.info("%s %s", features.key, note)
        return SetDistances(features.key, f"{features.about}; {note}", {})
    note = f"{count} images" + (f", fewer than {_FEW}: biased upwards" if count < _FEW else "")
    true = features(truths)
    values = {name: frechet_distance(features(made), true) for name, made in variants.items()}
    return SetDistances(features.key, f"{features.about}; {note}", values)


def frechet_distance(features: NDArray[np.floating], truths: NDArray[np.floating]) -> float:
    """torch-fidelity's, in float64, of two sets `[N, D]` and `[M, D]`, each taken for a Gaussian.

    0 or more; Heusel et al. 2017. InputError where a value is not finite.
    """
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    if not (np.isfinite(features).all() and np.isfinite(truths).all()):
        raise InputError("Frechet distance: features hold values that are not finite")
    moments = [fid_features_to_statistics(torch.as_tensor(x).double()) for x in (features, truths)]
    (distance,) = fid_statistics_to_metric(*moments, verbose=False).values()
    return max(0.0, float(distance))
