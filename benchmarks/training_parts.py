"""The parts of one optimiser step of the infrared training, with and without cached latents."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from refract.infrared.adapter.adapter_files import build_model
from refract.infrared.adapter.fill_conditioning import encode_masked, with_mask
from refract.infrared.adapter.model import InfraredModel, stack_text
from refract.infrared.adapter.sample_draws import noise_and_time
from refract.infrared.adapter.triptych_latents import LatentCache, read_request
from refract.infrared.training.data import TrainingData, latent_requests
from refract.infrared.training.job import adapter_config
from refract.infrared.training.objective import Batch, flow_matching_loss
from refract.infrared.training.optimizer import build_optimizer
from refract.models.flux_fill import FillVae, TextEmbedding, load_transformer, load_vae
from refract.models.flux_text_cache import embed_flux_prompts
from refract.models.flux_tokens import pack_latents
from refract.models.identity import model_identity
from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModelParams
from refract.triptychs.panels.manifest import read_manifest


@dataclass(frozen=True)
class EncodedAnew(TrainingData):
    """Batches as from the cache, but read and encoded, all at once, when they are asked for."""

    vae: FillVae

    def at(self, indices: Sequence[int]) -> Batch:
        chosen = [self.samples[index] for index in indices]
        pictures = [read_request(request, self.cache.panel_px) for request, _ in chosen]
        visible, infrared, semantic = (
            torch.stack(panels).to(self.device) for panels in zip(*pictures, strict=True)
        )
        text = stack_text([self.texts[caption] for _, caption in chosen], self.device)
        masked = encode_masked(self.vae.encode, visible).float()
        return Batch(
            x_0=pack_latents(self.vae.encode(torch.cat([visible, infrared], -1))).float(),
            x_cond=with_mask(masked, self.cache.panel_px),
            semantic=pack_latents(self.vae.encode(semantic)).float(),
            text=TextEmbedding(text.tokens.float(), text.pooled.float()),
        )


@dataclass
class TrainingStep:
    """Forward, backward and optimiser step of a model, without `accelerate`."""

    model: InfraredModel
    settings: IrAdapter
    seed: int
    trainable: dict[str, torch.nn.Parameter] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.model.train()
        self.trainable = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = build_optimizer(self.trainable, self.settings)

    def backward(self, batch: Batch) -> None:
        """Forward and backward; the gradients stay."""
        self.optimizer.zero_grad()
        shape, shift = tuple(batch.x_0.shape[1:]), self.settings.time_shift
        draws = [noise_and_time(self.seed, i, shape, shift) for i in range(len(batch.x_0))]
        x_1, t = (torch.stack(drawn).to(self.model.device) for drawn in zip(*draws, strict=True))
        infrared = self.model.grid.infrared().to(self.model.device)
        weight = self.settings.left_panel_weight
        flow_matching_loss(self.model, batch, x_1, t, infrared, weight).backward()

    def update(self) -> None:
        """Clip the gradients that are there and step."""
        torch.nn.utils.clip_grad_norm_(self.trainable.values(), self.settings.grad_clip)
        self.optimizer.step()


@dataclass
class TrainingParts(TrainingStep):
    """A model that learns one fixed batch, the first samples of its data."""

    cached: TrainingData
    anew: EncodedAnew

    def __post_init__(self) -> None:
        super().__post_init__()
        self.backward(self.load(self.cached))  # so that `update` has gradients whenever timed

    def load(self, data: TrainingData) -> Batch:
        """The fixed batch from `cached` or `anew`."""
        return data.at(range(self.settings.batch))

    def step(self, data: TrainingData) -> None:
        """A whole optimiser step."""
        self.backward(self.load(data))
        self.update()


def build_parts(
    settings: IrAdapter,
    section: InfraredModelParams,
    seed: int,
    triptychs: Path,
    state: Path,
    device: str,
) -> TrainingParts:
    """The model as the stage builds it, and the triptychs' latents in a cache below `state`."""
    samples = latent_requests(read_manifest(triptychs, "train"), triptychs, mirrored=False)
    with Image.open(samples[0][0].path) as first:
        panel_px = first.height
    identity = model_identity(section.path, section.revision)
    cache = LatentCache(
        state, panel_px=panel_px, model_identity=identity, dtype=section.dtype, fusion_alpha=None
    )
    vae = load_vae(section, device)
    cache.fill([request for request, _ in samples], lambda: vae)
    captions = {caption for _, caption in samples}
    texts = embed_flux_prompts(
        captions, section, root=state, model_identity=identity, device=device
    )
    torch.manual_seed(seed)
    base = load_transformer(section, device)
    if settings.gradient_checkpointing:
        base.enable_gradient_checkpointing()
    config = adapter_config(
        settings,
        section,
        panel_px=panel_px,
        prompt=None,
        identity=identity,
        fingerprint="benchmark",
    )
    return TrainingParts(
        model=build_model(base, config),
        settings=settings,
        seed=seed,
        cached=TrainingData(samples, cache, texts, device),
        anew=EncodedAnew(samples, cache, texts, device, vae),
    )
