"""A trained adapter ready to make infrared pictures, in batches of one fixed shape."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refract.adapter_files import AdapterConfig, load_adapter
from refract.fill_conditioning import encode_masked, fuse_pixels, with_mask
from refract.flux_fill import (
    ModelReference,
    TextEmbedding,
    load_sigmas,
    load_transformer,
    load_vae,
)
from refract.infrared_model import stack_text
from refract.ir_generation import decode_infrared, generate_tokens, item_noise
from refract.latent_packing import pack_latents

logger = logging.getLogger(__name__)


class Scene(NamedTuple):
    """What one infrared picture is made from; `name` decides its noise."""

    name: str
    visible: Tensor  # [3, P, P] in [-1, 1]
    semantic: Tensor  # [3, P, P] in [-1, 1]
    prompt: str


class InfraredGenerator:
    """Model, VAE and noise levels, loaded once.

    Every forward pass has exactly `batch` scenes: a last, smaller batch is filled up by repeating
    its last scene. Matrix products of one shape treat their rows alike, so a picture does not
    depend on what else is in the batch (a test compares the bytes); with another `batch` it may
    differ in the last bits.
    """

    def __init__(
        self,
        folder: Path,
        config: AdapterConfig,
        reference: ModelReference,
        *,
        device: str,
        steps: int,
        batch: int,
        seed: int,
        guidance: float | None = None,
    ) -> None:
        """folder, config: the artefact. guidance: None takes the training's."""
        self.config = config
        self.device = device
        self.batch = batch
        self.seed = seed
        self.model = load_adapter(folder, lambda: load_transformer(reference, device), config)
        if guidance is not None:
            self.model.guidance = guidance
        self.vae = load_vae(reference, device)
        self.grid = self.model.grid
        self.sigmas = load_sigmas(reference, steps, 2 * self.grid.rows * self.grid.columns)

    def generate(
        self,
        scenes: Sequence[Scene],
        texts: dict[str, TextEmbedding],
        progress: Callable[[int], object] = lambda count: None,
    ) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Yield (name, gray picture [P, P]) for every scene, in order.

        `texts` holds the embedding of every prompt; `progress` is called with the number of
        scenes done after each batch.
        """
        for start in range(0, len(scenes), self.batch):
            chosen = list(scenes[start : start + self.batch])
            padded = chosen + chosen[-1:] * (self.batch - len(chosen))
            pictures = self._pictures(padded, texts)
            for scene, picture in zip(chosen, pictures, strict=False):
                yield scene.name, picture.numpy()
            progress(len(chosen))

    @torch.no_grad()
    def _pictures(self, scenes: Sequence[Scene], texts: dict[str, TextEmbedding]) -> Tensor:
        """Gray pictures [B, P, P], uint8. The VAE sees one scene at a time."""
        masked, semantic = [], []
        for scene in scenes:
            visible, maps = scene.visible[None], scene.semantic[None]
            if self.config.fusion_alpha is not None:
                visible = fuse_pixels(visible, maps, self.config.fusion_alpha)
            masked.append(encode_masked(self.vae.encode, visible))
            semantic.append(pack_latents(self.vae.encode(maps)))
        x_cond = with_mask(torch.cat(masked), self.config.panel_px).float()
        noise = torch.stack([self._noise(scene, masked[0]) for scene in scenes]).to(self.device)
        text = stack_text([texts[scene.prompt] for scene in scenes], self.device)
        tokens = generate_tokens(
            self.model,
            self.sigmas,
            noise,
            x_cond,
            torch.cat(semantic).float(),
            TextEmbedding(text.tokens.float(), text.pooled.float()),
        )
        rows, columns = self.grid.rows, self.grid.columns
        return torch.cat([decode_infrared(self.vae, one[None], rows, columns) for one in tokens])

    def _noise(self, scene: Scene, like: Tensor) -> Tensor:
        return item_noise(self.seed, scene.name, *like.shape[1:])
