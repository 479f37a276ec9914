"""A trained adapter ready to make infrared pictures, in batches of one fixed shape."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import load_adapter, read_config
from refract.infrared.adapter.fill_conditioning import encode_masked, fuse_pixels, with_mask
from refract.infrared.adapter.model import stack_text
from refract.infrared.adapter.sampling import decode_infrared, generate_tokens, item_noise
from refract.media.gray_levels import Levels, quantise
from refract.models.flux_fill import (
    ModelReference,
    TextEmbedding,
    load_sigmas,
    load_transformer,
    load_vae,
    options_of,
)
from refract.models.flux_tokens import pack_latents

logger = logging.getLogger(__name__)


class Scene(NamedTuple):
    """What one infrared picture is made from; `name` decides its noise."""

    name: str
    visible: Tensor  # [3, P, P] in [-1, 1]
    semantic: Tensor  # [3, P, P] in [-1, 1]
    prompt: str


class SceneTokens(NamedTuple):
    """What the model reads of a batch of scenes, constant over steps and samples."""

    x_cond: Tensor  # [B, 2n, 320]
    semantic: Tensor  # [B, n, 64]
    text: TextEmbedding


@dataclass(frozen=True)
class PictureSettings:
    """How pictures are made. steps: Euler steps. batch: scenes in a forward pass.

    guidance: None takes the training's. samples: a picture is the mean of so many, from
    independent noise. bits: 8 or 16 a pixel.
    """

    steps: int
    seed: int
    batch: int = 1
    guidance: float | None = None
    samples: int = 1
    bits: int = 8


class InfraredGenerator:
    """Model, VAE and noise levels, loaded once.

    Every forward pass has exactly `batch` scenes: a last, smaller batch is filled up by repeating
    its last scene. Matrix products of one shape treat their rows alike, so a picture does not
    depend on what else is in the batch (a test compares the bytes); with another `batch` it may
    differ in the last bits. Samples of a scene are drawn one after another for the same reason.
    """

    def __init__(
        self, folder: Path, reference: ModelReference, settings: PictureSettings, device: str
    ) -> None:
        """folder: of the adapter. reference: the base that it was trained on."""
        options = options_of(reference)
        if options.step_cache is not None and settings.batch > 1:
            raise InputError(
                f"infer_ir.batch = {settings.batch}: must be 1 with infrared_model.step_cache, "
                "which would skip blocks by what all pictures of a batch have in common"
            )
        self.config, self.settings, self.device = read_config(folder), settings, device
        self.model = load_adapter(
            folder, lambda: load_transformer(reference, device, for_inference=True), self.config
        )
        self.model.fit_memory(options, device)
        if settings.guidance is not None:
            self.model.guidance = settings.guidance
        self.vae = load_vae(reference, device)
        self.grid = self.model.grid
        self.sigmas = load_sigmas(reference, settings.steps, 2 * self.grid.rows * self.grid.columns)

    def generate(
        self,
        scenes: Sequence[Scene],
        texts: dict[str, TextEmbedding],
        progress: Callable[[int], object] = lambda count: None,
    ) -> Iterator[tuple[str, Levels]]:
        """Yield (name, gray picture [P, P], scaled as in `quantise`) for every scene, in order.

        `texts` holds the embedding of every prompt; `progress` is called with the number of
        scenes done after each batch.
        """
        for chosen, padded in self.batches(scenes):
            pictures = self._pictures(padded, texts)
            if not pictures.isfinite().all():  # as a picture they would be of any gray
                raise InputError(
                    f"infrared picture of {chosen[0].name}: came to values that are not finite: "
                    "weights of infrared_model or of the adapter are damaged, or too large for "
                    "infrared_model.dtype"
                )
            for scene, picture in zip(chosen, pictures, strict=False):
                yield scene.name, quantise(picture, self.settings.bits)
            progress(len(chosen))

    def batches(self, scenes: Sequence[Scene]) -> Iterator[tuple[list[Scene], list[Scene]]]:
        """Scenes in turns of `batch`, and each turn filled up to exactly that many."""
        for start in range(0, len(scenes), self.settings.batch):
            chosen = list(scenes[start : start + self.settings.batch])
            yield chosen, chosen + chosen[-1:] * (self.settings.batch - len(chosen))

    @torch.no_grad()
    def encode(self, scenes: Sequence[Scene], texts: dict[str, TextEmbedding]) -> SceneTokens:
        """The conditioning of `batch` scenes. The VAE sees one at a time."""
        masked, semantic = [], []
        for scene in scenes:
            visible, maps = scene.visible[None], scene.semantic[None]
            if self.config.fusion_alpha is not None:
                visible = fuse_pixels(visible, maps, self.config.fusion_alpha)
            masked.append(encode_masked(self.vae.encode, visible))
            semantic.append(pack_latents(self.vae.encode(maps)))
        text = stack_text([texts[scene.prompt] for scene in scenes], self.device)
        return SceneTokens(
            with_mask(torch.cat(masked), self.config.panel_px).float(),
            torch.cat(semantic).float(),
            TextEmbedding(text.tokens.float(), text.pooled.float()),
        )

    def noise(self, scenes: Sequence[Scene], tokens: SceneTokens, sample: int = 0) -> Tensor:
        """x_1 [B, 2n, 64] of one sample of each scene."""
        shape = (tokens.x_cond.shape[1], tokens.semantic.shape[2])
        drawn = [item_noise(self.settings.seed, scene.name, *shape, sample) for scene in scenes]
        return torch.stack(drawn).to(self.device)

    def _pictures(self, scenes: Sequence[Scene], texts: dict[str, TextEmbedding]) -> Tensor:
        """Gray pictures [B, P, P] in [-1, 1]: the mean of the samples.

        The mean of decoded pixels, before any rounding, is what has the least expected squared
        error; that of latents, decoded, has not, since the decoder is not linear.
        """
        tokens = self.encode(scenes, texts)
        drawn = (
            self._sample(tokens, self.noise(scenes, tokens, sample))
            for sample in range(self.settings.samples)
        )
        return sum(drawn, torch.tensor(0.0)) / self.settings.samples

    def _sample(self, tokens: SceneTokens, noise: Tensor) -> Tensor:
        """Gray pictures [B, P, P] in [-1, 1] from one noise each; the VAE sees one at a time."""
        diptychs = generate_tokens(self.model, self.sigmas, noise, *tokens)
        shape = self.grid.rows, self.grid.columns
        return torch.cat([decode_infrared(self.vae, x_0, *shape) for x_0 in diptychs.split(1)])
