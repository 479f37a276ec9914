"""What the micro CLIP learns from: captions against pictures, and pictures against pictures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.worlds.tabletop import (
    BACKDROPS,
    CLASSES,
    COLOURS,
    PATTERNS,
    PHOTO_SURFACE,
    SURFACES,
    Product,
    Scene,
)

_TELLING = frozenset({*CLASSES, *COLOURS, *PATTERNS, *BACKDROPS, *SURFACES, PHOTO_SURFACE})


def true_words(product: Product, scene: Scene | None) -> frozenset[str]:
    """Every word a caption may rightly use of a picture; `scene` None is a photo."""
    ground = (PHOTO_SURFACE,) if scene is None else (scene.backdrop, scene.surface)
    return frozenset({product.category, product.colour, product.pattern, *ground})


def is_true_of(captions: Sequence[str], pictures: Sequence[frozenset[str]]) -> Tensor:
    """`[captions, pictures]` bool: nothing a caption says is wrong of the picture.

    Captions leave words out, so "a mug" is true of every mug of a batch, and not only of its own.
    """
    said = [_TELLING.intersection(caption.split()) for caption in captions]
    return torch.tensor([[words <= truth for truth in pictures] for words in said])


def contrast(one: Tensor, other: Tensor, scale: Tensor, also: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE of unit embeddings `[N, D]` whose rows belong together.

    `also` `[N, N]` bool: further pairs that fit. They are left out, being no mismatches.
    """
    logits = scale * one @ other.T
    own = torch.arange(len(logits))
    if also is not None:
        excluded = also & ~torch.eye(len(logits), dtype=torch.bool)
        logits = logits.masked_fill(excluded, float("-inf"))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
