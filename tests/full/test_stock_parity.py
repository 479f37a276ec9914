"""With the method switched off, ours is what the stock pipelines make of the same repository.

With the method on, `tests/infrared/test_stock_pipeline.py` compares, layers alone
`tests/editing/test_attention.py`.
"""

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxFillPipeline, WanPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from torch import Tensor

from refract.editing.reference.attention import reference_attention
from refract.editing.reference.bank import ReferenceBank
from refract.infrared.adapter.adapter_files import (
    AdapterConfig,
    build_model,
    load_adapter,
    save_adapter,
)
from refract.infrared.adapter.sampling import generate_tokens
from refract.infrared.inference.generator import InfraredGenerator, PictureSettings, Scene
from refract.models.flux_fill import encode_prompts, load_transformer
from refract.params.models import InfraredModelParams
from tests.tiny.hub import write_fill_hub, write_wan_hub

STEPS, PANEL_PX, WORDS, GUIDANCE = 3, 32, 64, 30.0
PROMPT = "a diptych of the same scene, on the right as infrared thermal photo"


@pytest.fixture(scope="module")
def fill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fill_hub(tmp_path_factory.mktemp("hub") / "fill")


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wan_hub(tmp_path_factory.mktemp("hub") / "wan")


def untrained(section: InfraredModelParams, folder: Path) -> AdapterConfig:
    """Write an adapter without semantic attention, whose LoRA is zero."""
    config = AdapterConfig(
        mode="none", layout="tile", position="distance_bias", gate="zero_projection",
        site="x_cond", layers=1, heads=8, fusion_alpha=None, rank=4, alpha=4.0,
        lora_targets=(".*\\.attn\\..*"), panel_px=PANEL_PX, prompt=PROMPT, guidance=GUIDANCE,
        max_sequence_length=WORDS, precision="float32", model_identity="tiny", training="none",
        steps=1,
    )  # fmt: skip
    folder.mkdir()
    save_adapter(build_model(load_transformer(section, "cpu"), config), config, folder)
    return config


def test_fill_without_the_method_is_the_stock_pipeline(
    fill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same noise, with the schedule, shifted by resolution, of the repository.

    The pipeline samples the VAE's posterior, ours takes its mode; that apart, all is its own. It
    hands the transformer sigma * 1000 / 1000 for sigma, hence the tolerance.
    """
    section = InfraredModelParams(
        path=str(fill), revision=None, dtype="float32", max_sequence_length=WORDS
    )
    untrained(section, tmp_path / "adapter")
    made = InfraredGenerator(
        tmp_path / "adapter", section, PictureSettings(steps=STEPS, seed=0), "cpu"
    )
    picture = np.random.default_rng(5).integers(0, 256, (PANEL_PX, PANEL_PX, 3), np.uint8)
    visible = torch.tensor(picture).permute(2, 0, 1) / 127.5 - 1
    scene = Scene("scene", visible, torch.zeros_like(visible), PROMPT)
    tokens = made.encode([scene], encode_prompts(section, [PROMPT], "cpu"))
    noise = made.noise([scene], tokens)
    ours = generate_tokens(made.model, made.sigmas, noise, *tokens)

    mode = DiagonalGaussianDistribution.mode
    monkeypatch.setattr(
        DiagonalGaussianDistribution, "sample", lambda self, generator=None: mode(self)
    )
    pipeline = FluxFillPipeline.from_pretrained(fill)
    pipeline.set_progress_bar_config(disable=True)
    diptych = np.concatenate([picture, np.full_like(picture, 9)], 1)  # hidden, so of no effect
    mask = np.zeros(diptych.shape[:2], np.uint8)
    mask[:, PANEL_PX:] = 255
    theirs = pipeline(
        PROMPT, image=Image.fromarray(diptych), mask_image=Image.fromarray(mask),
        height=PANEL_PX, width=2 * PANEL_PX, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
        max_sequence_length=WORDS, latents=noise, output_type="latent",
    ).images  # fmt: skip
    assert (ours - noise).abs().max() > 0.1
    assert (ours - theirs).abs().max() < 1e-4


def test_an_untrained_adapter_leaves_the_transformer_to_the_bit(fill: Path, tmp_path: Path) -> None:
    section = InfraredModelParams(
        path=str(fill), revision=None, dtype="float32", max_sequence_length=WORDS
    )
    config = untrained(section, tmp_path / "adapter")
    ours = load_adapter(tmp_path / "adapter", lambda: load_transformer(section, "cpu"), config)
    source = torch.Generator().manual_seed(3)
    inputs = {
        "hidden_states": torch.randn(1, 8, 384, generator=source),
        "encoder_hidden_states": torch.randn(1, 4, 32, generator=source),
        "pooled_projections": torch.randn(1, 32, generator=source),
        "timestep": torch.tensor([0.4]), "guidance": torch.tensor([GUIDANCE]),
        "img_ids": torch.zeros(8, 3), "txt_ids": torch.zeros(4, 3),
    }  # fmt: skip
    with torch.no_grad():
        own, stock = (
            transformer(**inputs, return_dict=False)[0]
            for transformer in (ours.transformer, load_transformer(section, "cpu"))
        )
    assert torch.equal(own, stock)


@pytest.mark.parametrize("mode", ["joint", "concat_scaled", "refdrop", "adain"])
def test_wan_at_strength_0_is_the_stock_pipeline_to_the_bit(wan: Path, mode: str) -> None:
    pipeline = WanPipeline.from_pretrained(wan)
    pipeline.set_progress_bar_config(disable=True)
    plain = sample(pipeline)
    with reference_attention(pipeline.transformer, random_bank(), strength=0.0, mode=mode):
        assert torch.equal(sample(pipeline), plain)
    with reference_attention(pipeline.transformer, random_bank(), strength=0.8, mode=mode):
        assert not torch.equal(sample(pipeline), plain)


def sample(pipeline: Any) -> Tensor:
    latents: Tensor = pipeline(
        "a red plain mug", height=32, width=48, num_frames=5, num_inference_steps=2,
        guidance_scale=2.0, max_sequence_length=WORDS, output_type="latent",
        generator=torch.Generator().manual_seed(0),
    ).frames  # fmt: skip
    return latents


def random_bank() -> ReferenceBank:
    source = torch.Generator().manual_seed(2)
    layers, statistics = {}, {}
    for layer in range(30):
        layers[layer] = {kind: torch.randn(3, 2, 12, generator=source) for kind in ("key", "value")}
        statistics[layer] = {
            kind: torch.rand(24, generator=source) + 0.5 for kind in ("mean", "deviation")
        }
    positions = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    return ReferenceBank(layers, positions, {"depth": 30}, statistics)
