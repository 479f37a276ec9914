import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

# isort: split
import json
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file

from refract.base.errors import InputError
from refract.infrared.adapter.adapter_files import (
    CONFIG_NAME,
    SEMANTIC_NAME,
    AdapterConfig,
    build_model,
    load_adapter,
    read_config,
    save_adapter,
)
from refract.infrared.adapter.lora import WEIGHTS_NAME
from refract.infrared.adapter.model import InfraredModel
from refract.models.flux_fill import TextEmbedding
from tests.tiny.fill import tiny_transformer


def config(**changes: object) -> AdapterConfig:
    values: dict[str, object] = {
        "mode": "cross_attention",
        "layout": "tile",
        "position": "distance_bias",
        "gate": "zero_projection",
        "site": "x_cond",
        "layers": 2,
        "heads": 8,
        "fusion_alpha": None,
        "rank": 4,
        "alpha": 4.0,
        "lora_targets": ("to_q", "proj_mlp"),
        "panel_px": 32,
        "prompt": "infrared",
        "guidance": 1.0,
        "max_sequence_length": 16,
        "precision": "float32",
        "model_identity": "base",
        "training": "0" * 64,
        "steps": 3,
    }
    return AdapterConfig.model_validate(values | changes)


def base(heads: int = 2) -> FluxTransformer2DModel:
    torch.manual_seed(2)
    return tiny_transformer(heads).requires_grad_(False)


def trained(settings: AdapterConfig) -> InfraredModel:
    """A model after a few real optimiser steps."""
    model = build_model(base(), settings)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        forward(model).square().mean().backward()
        optimizer.step()
    return model


def forward(model: InfraredModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    text = TextEmbedding(draw(2, 4, 64), draw(2, 64))
    return model(draw(2, 8, 64), torch.tensor([0.3, 0.8]), draw(2, 8, 320), draw(2, 4, 64), text)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"site": "x_t", "position": "rope2d", "gate": "small"},
        {"site": "x_t", "layout": "target", "position": "none", "gate": "zero_scale"},
        {"mode": "panel"},
        {"mode": "none"},
        {"precision": "bfloat16"},
        {"precision": "float16"},
    ],
)
def test_a_loaded_adapter_repeats_the_training_forward(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = config(**changes)
    model = trained(settings)
    save_adapter(model, settings, tmp_path)
    loaded = load_adapter(tmp_path, base, read_config(tmp_path))
    with torch.no_grad():
        assert torch.equal(forward(loaded), forward(model))


def test_the_semantic_adapter_is_part_of_what_is_loaded(tmp_path: Path) -> None:
    settings = config()
    save_adapter(trained(settings), settings, tmp_path)
    with torch.no_grad():
        whole = forward(load_adapter(tmp_path, base, settings))
        path = tmp_path / SEMANTIC_NAME
        state = load_file(path)
        save_file({name: torch.zeros_like(x) for name, x in state.items()}, path)
        without = forward(load_adapter(tmp_path, base, settings))
    assert not torch.equal(whole, without)


def test_a_half_precision_base_keeps_a_float32_lora(tmp_path: Path) -> None:
    settings = config(precision="bfloat16")

    def half() -> FluxTransformer2DModel:
        return base().to(torch.bfloat16)

    model = build_model(half(), settings)
    for parameter in model.parameters():
        if parameter.requires_grad:
            assert parameter.dtype == torch.float32
            parameter.data.normal_(std=0.1)
    save_adapter(model, settings, tmp_path)
    loaded = load_adapter(tmp_path, half, settings)
    with torch.no_grad():
        assert torch.equal(forward(loaded), forward(model))
        assert forward(loaded).dtype == torch.float32


@pytest.mark.parametrize("gate", ["zero_scale", "zero_projection"])
@pytest.mark.parametrize("site", ["x_t", "x_cond"])
@pytest.mark.parametrize("position", ["none", "rope2d", "distance_bias"])
def test_before_training_the_model_is_bit_equal_to_the_base(
    gate: str, site: str, position: str
) -> None:
    plain = InfraredModel(base(), None, build_model(base(), config()).grid)
    fresh = build_model(base(), config(gate=gate, site=site, position=position))
    with torch.no_grad():
        assert torch.equal(forward(fresh), forward(plain))


def test_loading_leaves_the_generator_alone(tmp_path: Path) -> None:
    settings = config()
    save_adapter(trained(settings), settings, tmp_path)
    transformer = base()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load_adapter(tmp_path, lambda: transformer, settings)
    assert torch.equal(torch.rand(1), expected)


def test_what_can_be_wrong_with_an_artefact(tmp_path: Path) -> None:
    settings = config()
    model = trained(settings)

    def written() -> Path:
        save_adapter(model, settings, tmp_path)
        return tmp_path

    def message(heads: int = 2) -> str:
        with pytest.raises(InputError) as error:
            load_adapter(tmp_path, lambda: base(heads), read_config(tmp_path))
        return str(error.value)

    (written() / SEMANTIC_NAME).unlink()
    assert f"{SEMANTIC_NAME}: missing adapter file" in message()
    (written() / WEIGHTS_NAME).unlink()
    assert f"{WEIGHTS_NAME}: missing adapter file" in message()
    (written() / WEIGHTS_NAME).write_bytes(b"{}")
    assert "not a safetensors file" in message()
    written()
    assert "this base model needs" in message(heads=3)
    state = load_file(written() / SEMANTIC_NAME)
    state["layers.0.scale"] = torch.tensor(float("nan"))
    save_file(state, tmp_path / SEMANTIC_NAME)
    assert "layers.0.scale holds NaN" in message()
    document = json.loads((written() / CONFIG_NAME).read_text())
    (tmp_path / CONFIG_NAME).write_text(json.dumps(document | {"layers": 1}))
    assert "layers.1" in message() and "not part of this model" in message()
    for key, value, told in (
        ("site", "x_y", "site = 'x_y': must be one of x_t, x_cond"),
        ("layers", 10**9, "layers = 1000000000: must be a whole number >= 1 and <= 8"),
        ("rank", 0, "rank = 0: must be a whole number >= 1"),
        ("heads", 7, "heads = 7: must be one of 1, 2, 4, 8, 16"),
        ("panel_px", 33, "panel_px = 33: must be a whole number"),
        ("colour", "red", "colour = 'red': unknown key"),
    ):
        (tmp_path / CONFIG_NAME).write_text(json.dumps(document | {key: value}))
        assert f"{CONFIG_NAME}: {told}" in message()
    (tmp_path / CONFIG_NAME).write_text("{")
    assert CONFIG_NAME in message()
    (tmp_path / CONFIG_NAME).unlink()
    assert "is " in message() and "an output of train_ir_adapter" in message()
