"""The operations that the benchmark at full scale counts, and its models without values."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import full_scale_models, full_scale_video
from benchmarks.full_scale_flops import (
    TRUE_SCALE,
    _model,
    _without_autocast,
    affine,
    count,
    edit_flops,
    fill_pass_flops,
    latent_shape,
    video_flops,
    wan_pass_flops,
)
from benchmarks.full_scale_models import WAN_NAMES, Cut, empty_model, random_model
from benchmarks.full_scale_options import OptionSet
from benchmarks.full_scale_report import video_flops_table
from benchmarks.full_scale_run import Scale
from benchmarks.full_scale_training import random_batch, training_settings
from benchmarks.full_scale_video import edit_setting as full_edit_setting
from benchmarks.true_shapes import FILL, WAN_LARGE, WAN_SMALL
from benchmarks.wan_step import Shape, reference_flops
from tests.tiny.full_scale import SMALL, TINY_FILL, TINY_WAN, make_tiny


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny(monkeypatch)


def counted_wan(config: dict[str, Any], scale: Scale) -> int:
    model = full_scale_models.WanTransformer3DModel
    with torch.device("meta"):
        transformer = model.from_config(config)
        x = torch.empty(1, config["in_channels"], *latent_shape(scale))
        context = torch.empty(1, scale.words, config["text_dim"])
        return count(lambda: transformer(x, torch.empty(1), context, return_dict=False))


@pytest.mark.parametrize("config", [TINY_WAN, WAN_SMALL, WAN_LARGE])
def test_operations_of_a_wan_pass_are_those_by_hand(config: dict[str, Any]) -> None:
    config = {**config, "num_layers": 2}
    for scale in (SMALL, TRUE_SCALE):
        frames, height, width = latent_shape(scale)
        by_hand = wan_pass_flops(config, frames, height // 2, width // 2, scale.words)
        assert counted_wan(config, scale) == by_hand


@pytest.mark.parametrize("config", [TINY_FILL, FILL])
def test_operations_of_a_fill_pass_are_those_by_hand(config: dict[str, Any]) -> None:
    config = {**config, "num_layers": 2, "num_single_layers": 3}
    tokens, words = 2048, 512
    with torch.device("meta"):
        model = full_scale_models.FluxTransformer2DModel.from_config(config)
        inputs = {
            "hidden_states": torch.empty(1, tokens, config["in_channels"]),
            "encoder_hidden_states": torch.empty(1, words, config["joint_attention_dim"]),
            "pooled_projections": torch.empty(1, config["pooled_projection_dim"]),
            "timestep": torch.empty(1), "guidance": torch.empty(1),
            "img_ids": torch.empty(tokens, 3), "txt_ids": torch.empty(words, 3),
        }  # fmt: skip
        assert count(lambda: model(**inputs)) == fill_pass_flops(config, tokens, words)


def test_operations_of_an_edit_are_its_passes_and_what_queries_do_with_the_bank(
    monkeypatch: pytest.MonkeyPatch, tiny: None
) -> None:
    scale, reference = replace(SMALL, cut=Cut()), 3
    parts = video_flops("1.3B", scale, reference)
    a_pass = wan_pass_flops(TINY_WAN, 2, 2, 4, scale.words)
    shape = Shape(2, 2, 4, heads=2, head_dim=12)
    bank = TINY_WAN["num_layers"] * reference_flops(shape, 1, reference)
    assert parts["source branch"] == 35 * a_pass
    assert parts["plain steps"] == 69 * a_pass
    assert parts["steps with bank"] == 69 * a_pass + 35 * bank
    whole, bare = edit_flops(parts), edit_flops(parts, vae=False)
    assert bare == {
        "edit, plain": 104 * a_pass,
        "edit, with bank": 104 * a_pass + 35 * bank,
        "sweep point": 69 * a_pass + 35 * bank,
    }
    assert whole["sweep point"] - bare["sweep point"] == parts["decode"] > 0
    assert whole["edit, plain"] - bare["edit, plain"] == parts["decode"] + parts["encode"]
    assert "| a | sweep point |" in video_flops_table({"a": parts})
    with pytest.raises(ValueError, match="9 reference tokens: a frame has 8"):
        video_flops("1.3B", scale, 9)


@pytest.mark.long
def test_extrapolation_over_steps_is_exact(tiny: None) -> None:
    """All steps of an edit, really counted, against one and two of them."""
    from benchmarks.full_scale_flops import _on_meta

    with torch.no_grad():
        edits = {n: _on_meta("1.3B", SMALL, full_edit_setting(n), 3) for n in (1, 2, 35)}
        for call in (full_scale_video.Edit.plain, full_scale_video.Edit.with_bank):
            counted = {n: count(lambda n=n, call=call: call(edits[n])) for n in edits}  # type: ignore[misc]
            assert affine(lambda n, counted=counted: counted[n], 35) == counted[35]  # type: ignore[misc]


def test_checkpointing_computes_the_blocks_forward_once_more(tiny: None) -> None:
    def training(checkpointing: bool) -> int:
        model = _model(replace(SMALL, device="meta"), checkpointing=checkpointing).train()
        batch = random_batch(
            replace(SMALL, device="meta"), training_settings(OptionSet(), "float32", 1)
        )
        t = torch.empty(1, device="meta")
        return count(lambda: model(batch.x_0, t, *batch[1:]).square().mean().backward())

    with _without_autocast():
        plain, checkpointed = training(False), training(True)
    # A forward pass is a third and more of a step whose base is frozen: no gradients of weights
    assert 1.3 * plain < checkpointed < 1.6 * plain


def test_random_weights_are_of_the_final_type_and_keep_values_finite() -> None:
    kind, _ = Cut().config(WAN_NAMES["1.3B"], "transformer")
    config = {**TINY_WAN, "num_layers": 12}
    model = random_model(kind, config, torch.bfloat16, "cpu", "cpu")
    types = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert types["blocks.0.attn1.to_q.weight"] == torch.bfloat16
    assert types["blocks.0.scale_shift_table"] == torch.float32  # as `from_pretrained` has it
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.rope.freqs_cos.abs().max() == 1  # a buffer, which is in no file
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 3, 8, 8, generator=draw).bfloat16()
    context = torch.randn(1, 5, 16, generator=draw).bfloat16()
    y = model(x, torch.tensor([500.0]), context, return_dict=False)[0]
    assert y.isfinite().all() and 0.01 < y.float().std() < 100


def test_a_cut_keeps_the_first_layers_alone() -> None:
    name = WAN_NAMES["14B"]
    model = empty_model(name, "transformer", Cut(3))
    assert len(model.blocks) == 3 and isinstance(model, nn.Module)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert Cut(3).words(name) == "3 of 40 layers" and Cut(99).words(name) == "all 40 layers"
    with pytest.raises(ValueError, match="no published shape"):
        Cut().config("someone/else", "vae")
