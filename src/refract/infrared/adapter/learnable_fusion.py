"""Pixel fusion whose share of the map is learnt."""

import math

import torch
from torch import Tensor, nn

from refract.infrared.adapter.fill_conditioning import fuse_pixels


class LearnableFusion(nn.Module):
    """`fuse_pixels` with alpha = sigmoid(logit), one trainable value."""

    def __init__(self, start: float) -> None:
        """start: alpha before training, between 0 and 1 and neither of them."""
        super().__init__()
        if not 0 < start < 1:
            raise ValueError(f"start = {start}: must be above 0 and below 1")
        self.logit = nn.Parameter(torch.tensor(math.log(start / (1 - start))))

    @property
    def alpha(self) -> Tensor:
        """The map's share as it is now, a scalar with a gradient."""
        return torch.sigmoid(self.logit)

    def forward(self, visible: Tensor, semantic: Tensor) -> Tensor:
        """(1 - alpha) visible + alpha semantic, all [B, 3, P, P] on the device of `logit`."""
        return fuse_pixels(visible, semantic, self.alpha)
