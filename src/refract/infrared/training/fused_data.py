"""Batches whose visible panel is fused with the map by an alpha that is being learnt.

The fused picture changes with alpha, so nothing of it can be cached: the VAE encodes it at every
step. (A mixture of cached latents would be another model, since the encoder is not linear.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from refract.infrared.adapter.fill_conditioning import encode_masked, with_mask
from refract.infrared.adapter.learnable_fusion import LearnableFusion
from refract.infrared.adapter.triptych_latents import LatentRequest, read_request
from refract.infrared.training.data import TrainingData
from refract.infrared.training.objective import Batch
from refract.models.flux_fill import FillVae
from refract.models.flux_tokens import pack_latents


@dataclass(frozen=True)
class FusedTrainingData(TrainingData):
    """`cache` holds the unfused latents, of which the map's are used; `fusion` is on `device`."""

    vae: FillVae
    fusion: LearnableFusion

    def at(self, indices: Sequence[int]) -> Batch:
        """As with a fixed alpha of the present value; x_cond has a gradient to it.

        x_0 has none: it is what the model is to hit, and an alpha that made it easier to hit would
        lower the loss without a better picture.
        """
        encoded = [self._encode(self.samples[index][0]) for index in indices]
        x_0, masked = (torch.cat(parts).float() for parts in zip(*encoded, strict=True))
        x_cond = with_mask(masked, self.cache.panel_px)
        return super().at(indices)._replace(x_0=x_0, x_cond=x_cond)

    def _encode(self, request: LatentRequest) -> tuple[Tensor, Tensor]:
        """x_0 and masked tokens [1, 2n, 64]; one triptych at a time, as the cache and inference."""
        panels = read_request(request, self.cache.panel_px)
        visible, infrared, semantic = (panel[None].to(self.device) for panel in panels)
        fused = self.fusion(visible, semantic)
        x_0 = pack_latents(self.vae.encode(torch.cat([fused, infrared], -1)))
        return x_0, encode_masked(self.vae.encode_with_gradient, fused)
