from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from refract.infrared.adapter.adapter_files import build_model, save_adapter
from refract.infrared.adapter.learnable_fusion import LearnableFusion
from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.triptych_latents import LatentCache, read_triptych
from refract.infrared.inference.generator import InfraredGenerator, PictureSettings, Scene
from refract.infrared.training.data import TrainingData, latent_requests
from refract.infrared.training.fused_data import FusedTrainingData
from refract.infrared.training.objective import Batch, flow_matching_loss
from refract.models.flux_fill import FillVae, TextEmbedding, load_transformer, load_vae
from refract.triptychs.panels.manifest import TriptychRow, read_manifest
from tests.infrared.test_adapter_files import config
from tests.tiny.fill import PANEL_PX, PROMPT, reference, write_triptychs

TEXTS = {PROMPT: TextEmbedding(torch.ones(1, 4, 64), torch.ones(1, 64))}


class World(NamedTuple):
    model: Path
    triptychs: Path
    rows: list[TriptychRow]
    vae: FillVae


@pytest.fixture(scope="module")
def world(model: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    triptychs = write_triptychs(tmp_path_factory.mktemp("data") / "triptychs", {"train": 2})
    vae = load_vae(reference(model), "cpu")
    return World(model, triptychs, read_manifest(triptychs, "train"), vae)


def fixed(world: World, root: Path, alpha: float | None) -> TrainingData:
    """Cached data, each triptych as it is and mirrored."""
    samples = latent_requests(world.rows, world.triptychs, mirrored=True)
    cache = LatentCache(
        root, panel_px=PANEL_PX, model_identity="base", dtype="float32", fusion_alpha=alpha
    )
    cache.fill([request for request, _ in samples], lambda: world.vae)
    return TrainingData(samples, cache, TEXTS, "cpu")


def fused(world: World, root: Path, fusion: LearnableFusion) -> FusedTrainingData:
    plain = fixed(world, root, None)
    return FusedTrainingData(plain.samples, plain.cache, TEXTS, "cpu", world.vae, fusion)


def test_at_one_alpha_it_equals_the_cached_data_bit_for_bit(world: World, tmp_path: Path) -> None:
    fusion = LearnableFusion(0.3)
    batch = fused(world, tmp_path, fusion).at([0, 1, 2, 3])
    cached = fixed(world, tmp_path, fusion.alpha.item()).at([0, 1, 2, 3])
    for name in ("x_0", "x_cond", "semantic"):
        assert torch.equal(getattr(batch, name), getattr(cached, name)), name


def test_the_gradient_is_that_of_the_pixels(world: World, tmp_path: Path) -> None:
    """Against a difference quotient through the VAE, x_0 left out."""
    fusion = LearnableFusion(0.3)
    data = fused(world, tmp_path, fusion)
    weights = torch.randn(1, 8, 320, generator=torch.Generator().manual_seed(0))

    def value() -> Tensor:
        return (weights * data.at([0]).x_cond).sum()

    value().backward()
    gradient = fusion.logit.grad
    assert gradient is not None
    values = []
    with torch.no_grad():
        for offset in (0.02, -0.04):
            fusion.logit.add_(offset)
            values.append(value())
    assert gradient.item() == pytest.approx((values[0] - values[1]).item() / 0.04, rel=0.02)
    assert not data.at([0]).x_0.requires_grad


def velocity(model: InfraredModel, batch: Batch) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    x_t = torch.randn(batch.x_0.shape, generator=generator)
    return model(x_t, torch.tensor([0.3, 0.8]), batch.x_cond, batch.semantic, batch.text)


def test_inference_repeats_the_training_forward_with_the_learnt_alpha(
    world: World, tmp_path: Path
) -> None:
    settings = config(mode="pixel_fusion", fusion_alpha=0.5)
    torch.manual_seed(0)
    fusion = LearnableFusion(0.5)
    model = build_model(load_transformer(reference(world.model), "cpu"), settings, fusion)
    data = fused(world, tmp_path / "state", fusion)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        batch = data.at([0, 2])  # the two triptychs as they are
        x_1, t = torch.ones_like(batch.x_0), torch.tensor([0.3, 0.8])
        flow_matching_loss(model, batch, x_1, t, model.grid.infrared(), 0.1).backward()
        optimizer.step()
    assert abs(fusion.alpha.item() - 0.5) > 0.01

    folder = tmp_path / "adapter"
    folder.mkdir()
    save_adapter(model, settings, folder)
    made = InfraredGenerator(
        folder, reference(world.model), PictureSettings(steps=2, seed=0, batch=2), "cpu"
    )
    assert made.config.fusion_alpha == fusion.alpha.item()
    assert made.model.fusion is None, "a loaded model reads the alpha of its config alone"
    panels = [read_triptych(row.path(world.triptychs)) for row in world.rows]
    tokens = made.encode([Scene("x", p.visible, p.semantic, PROMPT) for p in panels], TEXTS)
    with torch.no_grad():
        batch = data.at([0, 2])
        assert torch.equal(tokens.x_cond, batch.x_cond)
        own = batch._replace(**tokens._asdict())
        assert torch.equal(velocity(made.model, own), velocity(model, batch))
