"""The recipe of the micro video model: what its training must share with its later use."""

from pathlib import Path

import refract.models.torchvision_compat  # noqa: F401  (must come before diffusers)

import numpy as np
import pytest
import torch
from diffusers import WanPipeline, WanTransformer3DModel

from backbones.checkpoint import load_checkpoint, save_checkpoint
from backbones.muon import Muon
from backbones.video.clips import draw_sample, draw_subject, to_frames, to_tensor
from backbones.video.text import build_text_encoder, build_tokenizer, encode_text
from backbones.video.transformer_model import (
    build_transformer,
    install_explicit_attention,
    predict_velocity,
    predict_velocity_beside_photo,
)
from backbones.worlds.tabletop_captions import vocabulary
from refract.editing.reference.attention import reference_attention
from refract.editing.reference.extraction import extract_bank


@pytest.fixture
def transformer() -> WanTransformer3DModel:
    torch.manual_seed(0)
    model = build_transformer(layers=2, heads=2, ffn_dim=64).eval().requires_grad_(False)
    torch.nn.init.normal_(model.proj_out.weight, std=0.1)  # it starts at zero
    return model


def test_text_is_encoded_as_the_pipeline_does() -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary())
    encoder = build_text_encoder(tokenizer).eval()
    prompts = ["a red plain mug sliding left on beige wood", "a ball", ""]
    pipeline = WanPipeline(tokenizer, encoder, vae=None, scheduler=None, transformer=None)
    with torch.no_grad():
        expected = pipeline._get_t5_prompt_embeds(prompts, max_sequence_length=16)
        ours = encode_text(encoder, tokenizer, prompts)
    assert torch.equal(ours, expected)
    assert (ours[1, 3:] == 0).all()
    assert not (ours[1, :3] == 0).all(-1).any()


def test_no_caption_word_is_unknown_to_the_tokenizer() -> None:
    tokenizer = build_tokenizer(vocabulary())
    ids = tokenizer(" ".join(vocabulary())).input_ids
    assert tokenizer.unk_token_id not in ids
    assert len(set(ids)) == len(vocabulary()) + 1


def test_explicit_attention_is_the_stock_attention(transformer: WanTransformer3DModel) -> None:
    x, sigma, context = (
        torch.randn(2, 16, 3, 4, 4),
        torch.tensor([0.2, 0.9]),
        torch.randn(2, 5, 128),
    )
    stock = predict_velocity(transformer, x, sigma, context)
    install_explicit_attention(transformer)
    explicit = predict_velocity(transformer, x, sigma, context)
    assert torch.allclose(stock, explicit, atol=1e-5)


def test_a_photo_in_training_acts_as_a_reference_bank_does_in_editing(
    transformer: WanTransformer3DModel,
) -> None:
    """The same photo, noise, tokens and position: the two code paths give the same velocity."""
    x_t, context = torch.randn(1, 16, 3, 4, 4), torch.randn(1, 5, 128)
    photo, tokens = torch.randn(1, 16, 1, 4, 4), torch.tensor([[True, False, True, False]])
    bank = extract_bank(transformer, photo, context, [0.0], tokens.view(2, 2))
    with reference_attention(transformer, bank, strength=1.0, rope="before"):
        edited = predict_velocity(transformer, x_t, torch.tensor([0.6]), context)
    plain = predict_velocity(transformer, x_t, torch.tensor([0.6]), context)
    processor = install_explicit_attention(transformer)
    trained = predict_velocity_beside_photo(
        transformer, processor, x_t, torch.tensor([0.6]), context, (photo, torch.zeros(1), tokens)
    )
    assert torch.allclose(trained, edited, atol=1e-5)
    assert not torch.allclose(trained, plain, atol=1e-3)
    assert processor.bias is None


def test_a_resumed_training_repeats_the_uninterrupted_one(tmp_path: Path) -> None:
    def build() -> tuple[torch.nn.Linear, Muon]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 3, bias=False)
        return layer, Muon(layer.parameters(), lr=0.1)

    def advance(layer: torch.nn.Linear, optimiser: Muon, step: int) -> None:
        x = torch.from_numpy(np.random.default_rng([0, step]).normal(size=(8, 4))).float()
        layer.zero_grad()
        layer(x).square().mean().backward()
        optimiser.step()

    layer, optimiser = build()
    for step in range(4):
        if step == 2:
            save_checkpoint(tmp_path / "x.safetensors", 2, {"m": layer}, {"muon": optimiser})
        advance(layer, optimiser, step)
    other, its_optimiser = build()
    start = load_checkpoint(tmp_path / "x.safetensors", {"m": other}, {"muon": its_optimiser})
    assert start == 2
    for step in range(start, 4):
        advance(other, its_optimiser, step)
    assert torch.equal(layer.weight, other.weight)


def test_samples_follow_from_seed_and_index() -> None:
    sample = draw_sample(0, 5, frames=[0])
    assert draw_subject(0, 5) == (sample.product, sample.scene)
    assert draw_subject(0, 5, stream=2) != draw_subject(0, 5)
    frames = to_frames(to_tensor(sample.clip.video))
    assert np.abs(frames - sample.clip.video).max() < 1e-6
