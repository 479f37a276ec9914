"""The published models at their true shapes, without weights: on the `meta` device."""

from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import refract.models.torchvision_compat  # noqa: F401  (before diffusers)

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    FluxTransformer2DModel,
    WanTransformer3DModel,
)
from ruamel.yaml import YAML
from torch import nn

from benchmarks.true_shapes import FILL, FILL_VAE, WAN_LARGE, WAN_SMALL, WAN_VAE
from refract.base.errors import InputError
from refract.editing.reference.attention import reference_attention
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.extraction import recording
from refract.editing.samplers.layer_choice import chosen_layers
from refract.infrared.adapter.lora import resolve_targets
from refract.infrared.adapter.model import InfraredModel
from refract.infrared.adapter.semantic_attention import SemanticConditioningAdapter
from refract.infrared.adapter.semantic_conditioning import DiptychGrid
from refract.models.flux_fill import TextEmbedding

ROOT = Path(__file__).parents[2]

# Bytes of the published weights over bytes a weight. FLUX.1 Fill: three shards of 9.99, 9.95 and
# 3.87 GB in bfloat16. Wan2.1: shards of 5.00 GB and 677 MB in float32; 14B: the 28.6 GB of the
# same weights in bfloat16 (wan2.1_t2v_14B_bf16.safetensors, Comfy-Org).
PUBLISHED = {"fill": 23.81e9 / 2, "small": 5.677e9 / 4, "large": 28.6e9 / 2}
NAMES = ("fill", "small", "large")
LORA_WEIGHTS = 131_084_288  # of the profile's rank 32: in + out channels of each target, times 32


@cache
def model(name: str) -> Any:
    """A published transformer without values. Tests put nothing into it for good."""
    with torch.device("meta"):
        if name == "fill":
            return FluxTransformer2DModel.from_config(FILL)
        return WanTransformer3DModel.from_config({"small": WAN_SMALL, "large": WAN_LARGE}[name])


@cache
def full_settings() -> dict[str, Any]:
    """params.yaml under the full profile, sections of one level."""
    yaml = YAML(typ="safe")
    settings = yaml.load((ROOT / "params.yaml").read_text())
    for key, value in yaml.load((ROOT / "profiles" / "full.yaml").read_text()).items():
        settings[key] = {**settings[key], **value} if isinstance(value, dict) else value
    assert isinstance(settings, dict)
    return settings


def on_meta(module: nn.Module) -> bool:
    return all(parameter.is_meta for parameter in module.parameters())


def test_vaes_are_of_the_published_size() -> None:
    """Their files: 335,304,388 and 507,609,880 bytes in float32, headers and all."""
    with torch.device("meta"):
        vaes = AutoencoderKL.from_config(FILL_VAE), AutoencoderKLWan.from_config(WAN_VAE)
    counts = [sum(parameter.numel() for parameter in vae.parameters()) for vae in vaes]
    assert counts == [83_819_683, 126_892_531]
    for count, published in zip(counts, (335_304_388, 507_609_880), strict=True):
        assert 4 * count == pytest.approx(published, rel=0.001)


@pytest.mark.parametrize("name", NAMES)
def test_parameter_counts_are_the_published(name: str) -> None:
    assert on_meta(model(name))
    count = sum(parameter.numel() for parameter in model(name).parameters())
    assert count == pytest.approx(PUBLISHED[name], rel=0.01)
    exact = {"fill": 11_902_391_360, "small": 1_418_996_800, "large": 14_288_491_584}
    assert count == exact[name]


def test_lora_targets_are_every_attention_and_feed_forward_layer() -> None:
    settings = full_settings()["ir_adapter"]
    found = resolve_targets(model("fill"), settings["lora_targets"])
    double = [f"attn.to_{part}" for part in ("q", "k", "v", "out.0", "add_out")]
    double += [f"attn.add_{part}_proj" for part in "qkv"]
    double += [f"{ff}.net.{layer}" for ff in ("ff", "ff_context") for layer in ("0.proj", "2")]
    single = ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp", "proj_out"]
    expected = {f"transformer_blocks.{i}.{name}" for i in range(19) for name in double}
    expected |= {f"single_transformer_blocks.{i}.{name}" for i in range(38) for name in single}
    expected |= {"x_embedder", "context_embedder"}
    assert set(found) == expected and len(found) == 19 * 12 + 38 * 5 + 2
    assert settings["rank"] == 32
    sizes = {name: model("fill").get_submodule(name) for name in found}
    weights = sum(32 * (part.in_features + part.out_features) for part in sizes.values())
    assert weights == LORA_WEIGHTS


def test_the_transformer_reads_384_channels_of_2048_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A diptych of the profile's panels, as training and inference hand it over; no adapter."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta knows none
    side = full_settings()["prepare_triptychs"]["panel_px"] // 16
    grid = DiptychGrid(side, side)
    with torch.device("meta"):
        infrared = InfraredModel(model("fill"), None, grid)  # whose choice of tokens meta lacks
        text = TextEmbedding(torch.empty(1, 512, 4096), torch.empty(1, 768))
        x_t, x_cond, semantic = (
            torch.empty(1, count, channels)
            for count, channels in ((2048, 64), (2048, 320), (1024, 64))
        )
        assert model("fill").x_embedder.in_features == 384
        velocity = infrared(x_t, torch.empty(1), x_cond, semantic, text)
    assert velocity.is_meta and velocity.shape == (1, 2048, 64)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_semantic_adapter_is_as_small_as_described(layers: int) -> None:
    described = SemanticConditioningAdapter(64, layers, 8, position="none", gate="zero_scale")
    assert described.num_parameters == layers * 16_897
    default = SemanticConditioningAdapter(64, layers, 8)
    assert default.num_parameters == layers * (16_897 + 8)  # a slope a head


@pytest.mark.parametrize(("name", "depth", "heads"), [("small", 30, 12), ("large", 40, 40)])
def test_every_layer_has_what_bank_and_processors_use(name: str, depth: int, heads: int) -> None:
    modules = dict(model(name).named_modules())
    width = 128 * heads
    for layer in range(depth):
        attention: Any = modules[f"blocks.{layer}.attn1"]
        assert attention.heads == heads and attention.inner_dim == width
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            linear = modules[f"blocks.{layer}.attn1.{part}"]
            assert (linear.in_features, linear.out_features) == (width, width)
        assert modules[f"blocks.{layer}.attn1.norm_k"].weight.shape == (width,)
        assert modules[f"blocks.{layer}.attn2.to_k"].in_features == width
    assert f"blocks.{depth}.attn1" not in modules


@pytest.mark.parametrize(("name", "token_bytes"), [("small", 6_144), ("large", 20_480)])
def test_a_bank_holds_key_and_value_of_every_layer(name: str, token_bytes: int) -> None:
    """A product photo in the profile's frame: bytes of a token and layer in its bfloat16."""
    flow = full_settings()["flowalign"]
    rows, columns = flow["height"] // 16, flow["width"] // 16
    with torch.device("meta"), recording(model(name)) as recorded:
        x_t = torch.empty(1, 16, 1, 2 * rows, 2 * columns)
        model(name)(x_t, torch.empty(1), torch.empty(1, 512, 4096), return_dict=False)
    config = model(name).config
    assert list(recorded) == list(range(config.num_layers))
    shape = (1, rows * columns, config.num_attention_heads, 128)
    for pair in recorded.values():
        assert pair["key"].shape == pair["value"].shape == shape
    values = sum(pair[kind].numel() for pair in recorded.values() for kind in ("key", "value"))
    assert 2 * values == token_bytes * rows * columns * config.num_layers


@pytest.mark.parametrize(("name", "heads"), [("small", 12), ("large", 40)])
def test_a_bank_of_true_width_is_read_and_another_refused(name: str, heads: int) -> None:
    depth = model(name).config.num_layers
    pair = {kind: torch.zeros(1, heads, 128, dtype=torch.bfloat16) for kind in ("key", "value")}
    bank = ReferenceBank(
        dict.fromkeys(range(depth), pair), torch.zeros(1, 2), {"depth": depth, "heads": heads}
    )
    stock = [block.attn1.processor for block in model(name).blocks]
    with reference_attention(model(name), bank, layers="middle"):
        changed = {
            layer
            for layer, block in enumerate(model(name).blocks)
            if block.attn1.processor is not stock[layer]
        }
    assert changed == chosen_layers("middle", depth)
    other = model("large" if name == "small" else "small")
    with pytest.raises(InputError, match="this model has"), reference_attention(other, bank):
        raise AssertionError("a bank of another model went in")


def test_named_layers_are_those_of_the_description() -> None:
    assert chosen_layers("middle", 30) == frozenset(range(10, 20))
    assert chosen_layers("deep", 30) == frozenset(range(20, 30))
    assert chosen_layers("all", 30) == frozenset(range(30))
    assert [len(chosen_layers(name, 40)) for name in ("all", "middle", "deep")] == [40, 14, 13]


@pytest.mark.parametrize("name", ["small", "large"])
def test_the_profiles_layers_exist(name: str) -> None:
    depth, settings = model(name).config.num_layers, full_settings()
    assert chosen_layers(settings["ref_layers"], depth) == frozenset(range(depth))
    region = settings["flowalign"]["region"]["layers"]
    assert chosen_layers(region, depth) == frozenset(range(10, 17))
