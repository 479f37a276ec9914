"""Cosine of an edit's frames to the product photo, by whatever image encoder is given.

CLIP-I and DINO as DreamBooth has them (Ruiz et al. 2023): the mean cosine of image embeddings.
Whole frames reward pasting the photo; crops around the product reward it less.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from refract.evaluation.measures.product import (
    Frames,
    Measured,
    ProductPhoto,
    RegionMask,
    crop_square,
    finite_mean,
)


class ImageEncoder(Protocol):
    """Unit-length embeddings of 8-bit RGB images, and what measures by it are called."""

    @property
    def key(self) -> str: ...

    def image_features(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor: ...


class PhotoSimilarity:
    """Similarity of clips to one photo; the photo is encoded once."""

    def __init__(self, encoder: ImageEncoder, photo: ProductPhoto) -> None:
        self.encoder = encoder
        self.photo = photo

    def frames(self, features: torch.Tensor) -> Measured:
        """`product.<key>_i`: whole frames, by their features `[T, D]`, to the whole photo."""
        return cosines(f"product.{self.encoder.key}_i", features, self._photo_features)

    def crops(self, clip: Frames, region: RegionMask) -> Measured:
        """`product.<key>_i_crop`: squares around the region `[T, H, W]` to the photo's own.

        The encoder scales a crop to its input; a frame without a region counts as a whole.
        """
        crops = [crop_square(*pair) for pair in zip(clip, region, strict=True)]
        features = self.encoder.image_features(crops)
        return cosines(f"product.{self.encoder.key}_i_crop", features, self._crop_features)

    @cached_property
    def _photo_features(self) -> torch.Tensor:
        return self.encoder.image_features([self.photo.pixels])

    @cached_property
    def _crop_features(self) -> torch.Tensor:
        return self.encoder.image_features([self.photo.crop])


def cosines(key: str, features: torch.Tensor, reference: torch.Tensor) -> Measured:
    """Cosine of unit features `[T, D]` to one unit feature `[1, D]`, by frame and on average."""
    series: list[float] = (features @ reference.T).squeeze(1).tolist()
    return Measured({key: finite_mean(series)}, {key: series})
