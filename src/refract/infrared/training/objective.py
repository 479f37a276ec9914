"""Flow-matching loss of a diptych, weighted by panel."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.sample_draws import derived_generator
from refract.models.flux_fill import TextEmbedding


class Batch(NamedTuple):
    """Tokens of B diptychs of 2n tokens each, on the model's device."""

    x_0: Tensor  # [B, 2n, 64]
    x_cond: Tensor  # [B, 2n, 320]
    semantic: Tensor  # [B, n, 64]
    text: TextEmbedding


def flow_matching_loss(
    model: torch.nn.Module,
    batch: Batch,
    x_1: Tensor,
    t: Tensor,
    infrared: Tensor,
    left_panel_weight: float,
) -> Tensor:
    """Mean squared error to x_1 - x_0 at x_t = (1 - t) x_0 + t x_1.

    x_1 like x_0, t [B]; `infrared` [2n] marks the right half, whose mean counts 1, that of the
    left half `left_panel_weight`.
    """
    level = t[:, None, None]
    x_t = (1 - level) * batch.x_0 + level * x_1
    velocity = model(x_t, t, batch.x_cond, batch.semantic, batch.text)
    error = (velocity.float() - (x_1 - batch.x_0)).square()
    return error[:, infrared].mean() + left_panel_weight * error[:, ~infrared].mean()


def validation_levels(count: int) -> Tensor:
    """`count` noise levels at the quantiles of sigmoid(normal): the same at every validation."""
    quantiles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.sigmoid(torch.special.ndtri(quantiles)).float()


@torch.no_grad()
def validation_loss(model: InfraredModel, batches: Sequence[Batch], seed: int) -> float:
    """Loss of the infrared half over fixed noise and noise levels, averaged over the items."""
    infrared = model.grid.infrared().to(model.device)
    count = sum(len(batch.x_0) for batch in batches)
    levels = validation_levels(count)[torch.randperm(count, generator=derived_generator(seed))]
    generator = derived_generator(seed, "validation")
    total = 0.0
    for batch, t in zip(batches, levels.split([len(b.x_0) for b in batches]), strict=True):
        x_1 = torch.randn(batch.x_0.shape, generator=generator).to(model.device)
        loss = flow_matching_loss(model, batch, x_1, t.to(model.device), infrared, 0.0)
        total += loss.item() * len(batch.x_0)
    return total / count
