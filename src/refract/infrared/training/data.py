"""Batches of cached latents and prompts for the infrared training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from refract.infrared.adapter.fill_conditioning import with_mask
from refract.infrared.adapter.model import stack_text
from refract.infrared.adapter.sample_draws import item_at
from refract.infrared.adapter.triptych_latents import LatentCache, LatentRequest
from refract.infrared.training.objective import Batch
from refract.models.flux_fill import TextEmbedding
from refract.triptychs.panels.manifest import TriptychRow


@dataclass(frozen=True)
class TrainingData:
    """`samples` of one split: a triptych, mirrored or not, with its caption."""

    samples: Sequence[tuple[LatentRequest, str]]
    cache: LatentCache
    texts: dict[str, TextEmbedding]
    device: str

    def at(self, indices: Sequence[int]) -> Batch:
        """The samples of these indices as one batch on the device."""
        chosen = [self.samples[index] for index in indices]
        tokens = self.cache.batch([request for request, _ in chosen])
        text = stack_text([self.texts[caption] for _, caption in chosen], self.device)
        return Batch(
            x_0=tokens.x_0.to(self.device),
            x_cond=with_mask(tokens.masked, self.cache.panel_px).to(self.device),
            semantic=tokens.semantic.to(self.device),
            text=TextEmbedding(text.tokens.float(), text.pooled.float()),
        )

    def drawn(self, seed: int, positions: Sequence[int]) -> Batch:
        """The samples at these positions of the endless shuffled series of `seed`."""
        return self.at([item_at(seed, position, len(self.samples)) for position in positions])

    def in_order(self, batch: int) -> list[Batch]:
        """All samples, `batch` at a time."""
        indices = torch.arange(len(self.samples)).split(batch)
        return [self.at(chunk.tolist()) for chunk in indices]


def latent_requests(
    rows: Sequence[TriptychRow], folder: Path, *, mirrored: bool
) -> list[tuple[LatentRequest, str]]:
    """The samples of manifest rows; with `mirrored` each row twice, the second time flipped."""
    flips = (False, True) if mirrored else (False,)
    return [(LatentRequest(row.path(folder), flip), row.caption) for row in rows for flip in flips]
