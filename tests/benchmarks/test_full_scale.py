"""Operations counted, folders of true shapes, and the timing of both halves, at tiny widths."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import flops, full_scale, hub_folder
from benchmarks import true_shapes as shapes
from benchmarks.full_scale import memory_may_run_out, parse_options, table_rows
from benchmarks.full_scale_parts import (
    BANK,
    DECODE,
    ENCODE,
    LOAD,
    PLAIN,
    SOURCE,
    Scale,
    edit_rows,
)
from benchmarks.timing import Timings
from benchmarks.wan_step import reference_flops
from refract.base.errors import InputError
from refract.models.flux_fill import encode_prompts, load_transformer, load_vae
from refract.models.wan import WanModel
from refract.params.models import InfraredModelParams, VideoModelParams

# The widths of the models through a thousandth, everything else as published
TINY_WAN = {
    **shapes.WAN_SMALL, "attention_head_dim": 12, "ffn_dim": 32, "num_attention_heads": 2,
    "num_layers": 3, "text_dim": 16,
}  # fmt: skip
TINY_FILL = {
    **shapes.FILL, "attention_head_dim": 16, "axes_dims_rope": [4, 6, 6], "num_layers": 1,
    "joint_attention_dim": 32, "num_attention_heads": 2, "num_single_layers": 2,
    "pooled_projection_dim": 16,
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "WAN_SMALL": TINY_WAN,
    "WAN_VAE": {**shapes.WAN_VAE, "base_dim": 8, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1},
    "UMT5": {
        **shapes.UMT5, "d_ff": 32, "d_kv": 8, "d_model": 16, "num_heads": 2, "num_layers": 1,
        "vocab_size": 20,
    },
    "FILL": TINY_FILL,
    "FILL_VAE": {
        **shapes.FILL_VAE, "block_out_channels": [8] * 4, "layers_per_block": 1,
        "norm_num_groups": 2,
    },
    "T5": {
        **shapes.T5, "d_ff": 32, "d_kv": 8, "d_model": 32, "num_heads": 2, "num_layers": 1,
        "vocab_size": 20,
    },
    "CLIP_TEXT": {
        **shapes.CLIP_TEXT, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2,
        "num_hidden_layers": 1, "projection_dim": 16, "vocab_size": 20,
    },
}  # fmt: skip
SMALL = Scale("meta", frames=5, width=64, height=32, panel_px=32, words=8)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, config in TINY.items():
        monkeypatch.setattr(shapes, name, config)


def empty(model: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(shapes, {"fill": "FILL", "wan-1.3B": "WAN_SMALL"}[model], config)
    return hub_folder.parts_of(model)["transformer"].empty()


@pytest.mark.parametrize("config", [TINY_WAN, shapes.WAN_SMALL, shapes.WAN_LARGE])
def test_operations_of_a_wan_pass_are_those_by_hand(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**config, "num_layers": 2}
    transformer = empty("wan-1.3B", config, monkeypatch)
    for scale in (SMALL, flops.SCALE):
        shape = flops.wan_shape(config, scale)
        with torch.device("meta"):
            x = torch.empty(1, 16, shape.frames, 2 * shape.rows, 2 * shape.columns)
            inputs = (x, torch.empty(1), torch.empty(1, scale.words, config["text_dim"]))
        counted = flops.count(lambda inputs=inputs: transformer(*inputs, return_dict=False))  # type: ignore[misc]
        assert counted == flops.wan_pass_flops(config, shape)


@pytest.mark.parametrize("config", [TINY_FILL, shapes.FILL])
def test_operations_of_a_fill_pass_are_those_by_hand(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**config, "num_layers": 2, "num_single_layers": 3}
    model = empty("fill", config, monkeypatch)
    tokens, words = 2048, 512
    with torch.device("meta"):
        inputs = {
            "hidden_states": torch.empty(1, tokens, config["in_channels"]),
            "encoder_hidden_states": torch.empty(1, words, config["joint_attention_dim"]),
            "pooled_projections": torch.empty(1, config["pooled_projection_dim"]),
            "timestep": torch.empty(1), "guidance": torch.empty(1),
            "img_ids": torch.empty(tokens, 3), "txt_ids": torch.empty(words, 3),
        }  # fmt: skip
        assert flops.count(lambda: model(**inputs)) == flops.fill_pass_flops(config, tokens, words)


def test_operations_of_an_edit_are_its_passes_and_what_queries_do_with_the_bank(
    tiny: None,
) -> None:
    parts = flops.video_flops("wan-1.3B", 3, SMALL)
    shape = flops.wan_shape(TINY_WAN, SMALL)
    a_pass, bank = flops.wan_pass_flops(TINY_WAN, shape), 3 * reference_flops(shape, 1, 3)
    whole, bare = flops.edit_flops(parts), flops.edit_flops(parts, vae=False)
    assert bare == {
        "edit, plain": 104 * a_pass,
        "edit, with bank": 104 * a_pass + 35 * bank,
        "sweep point": 69 * a_pass + 35 * bank,
    }
    assert whole["sweep point"] - bare["sweep point"] == parts["decode"] > 0
    assert "| a | sweep point |" in flops.edit_table({"a": parts})


def test_checkpointing_computes_the_blocks_forward_once_more(tiny: None) -> None:
    found = flops.infrared_flops(SMALL)
    plain, checkpointed = found["training step"], found["training step, checkpointing"]
    # A forward pass is a third and more of a step whose base is frozen: no gradients of weights
    assert 1.3 * plain < checkpointed < 1.6 * plain
    assert 2 < plain / (found["picture, 28 steps"] / 28) < 3  # forward, and the inputs' gradients


def section(kind: Any, folder: Path) -> Any:
    return kind(path=str(folder), revision=None, dtype="bfloat16", max_sequence_length=8)


def test_a_hub_folder_loads_whole_and_keeps_values_finite(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_folder, "_SHARD", 20_000)  # bytes
    hub_folder.write_hub_folder(tmp_path / "wan", "wan-1.3B", depth=2)
    assert len(list((tmp_path / "wan" / "transformer").glob("*.safetensors"))) > 1
    model = WanModel(str(tmp_path / "wan"), None, "bfloat16", "cpu")
    tokenizer, encoder = model.text
    context = encoder(**tokenizer("a red mug", return_tensors="pt")).last_hidden_state
    x = torch.randn(1, 16, 3, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    y = model.transformer(x, torch.tensor([500.0]), context, return_dict=False)[0]
    assert y.isfinite().all() and 0.01 < y.float().std() < 100
    assert len(model.transformer.blocks) == 2 and model.vae.dtype == torch.float32

    hub_folder.write_hub_folder(tmp_path / "fill", "fill")
    fill = section(InfraredModelParams, tmp_path / "fill")
    transformer = load_transformer(fill, "cpu")
    assert transformer.dtype == torch.bfloat16 and load_vae(fill, "cpu") is not None
    assert not any(parameter.requires_grad for parameter in transformer.parameters())
    text = encode_prompts(fill, ["a red mug"], "cpu")["a red mug"]
    assert text.tokens.shape == (1, 8, 32) and text.pooled.shape == (1, 16)


def test_whole_edits_are_sums_of_the_parts_that_ran() -> None:
    """A pass takes 1, a pass with the bank 1.5, coding 3 and 4, loading a step .1."""
    done, total = 4, 35
    parts = {
        ENCODE: 3.0, DECODE: 4.0, SOURCE: done, PLAIN: 2 * done - 1.0, LOAD: 0.1 * done,
        BANK: done - 1 + 1.5 * done,
    }  # fmt: skip
    found = {
        row: sum(weight * parts[part] for part, weight in weights.items())
        for row, weights in edit_rows(done, total).items()
    }
    assert found == pytest.approx(
        {
            ENCODE: 3, DECODE: 4, "edit step, plain": 3, "edit step, with bank": 3.5,
            "edit step, swept": 2.5, "edit, plain": 7 + 35 + 69,
            "edit, with bank": 7 + 35 + 34 + 1.5 * 35, "sweep point": 3.5 + 4 + 34 + 1.5 * 35,
        }
    )  # fmt: skip


def test_what_runs_out_of_memory_is_a_row_and_ratios_are_within_rounds() -> None:
    rows = edit_rows(1, 1)
    parts = full_scale.Parts(
        Timings({SOURCE: [1.0, 2.0], PLAIN: [1.0, 2.0], BANK: [1.5, 3.0]}),
        {SOURCE: 1 << 20, PLAIN: 2 << 20, BANK: 3 << 20},
        frozenset({ENCODE, DECODE, LOAD}),
    )
    lines = {line[2]: line[3:] for line in table_rows("m", "none", parts, rows, gpu=False)}
    assert lines["edit, plain"] == ["out of memory", "", "", "", ""]
    assert lines["edit step, with bank"][1:] == [
        "1.167", "edit step, plain", "1.17 to 1.17", "3",
    ]  # fmt: skip
    with memory_may_run_out():
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="another"), memory_may_run_out():
        raise RuntimeError("another")


def test_options_are_those_of_params_yaml(tmp_path: Path) -> None:
    options = parse_options("vae_tiling=true,offload=block,step_cache_threshold=0.2")
    assert options.values == {"vae_tiling": True, "offload": "block", "step_cache_threshold": 0.2}
    assert options.section(VideoModelParams, tmp_path, "float16", 8).offload == "block"
    assert not parse_options("gradient_checkpointing=false").checkpointing
    assert not parse_options("quantization=nf4").known_to(VideoModelParams)
    for wrong in (
        "offload",
        "path=a/b",
        "quantisation=nf4",
        "gradient_checkpointing=1",
        "compile=[",
    ):
        with pytest.raises(InputError, match="--options"):
            parse_options(wrong)
    with pytest.raises(InputError, match="--options offload=disk: offload"):
        parse_options("offload=disk").section(InfraredModelParams, tmp_path, "float32", 8)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    sizes = "--frames 5 --width 32 --height 32 --panel-px 32 --words 4 --repeats 1 --steps 2"
    given = [*sizes.split(), "--dtype", "float32", "--threads", "1", *map(str, arguments)]
    monkeypatch.setattr(sys, "argv", ["full_scale", *given])
    full_scale.main()


def test_both_halves_are_timed_with_and_without_options(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, model in (("wan", "wan-1.3B"), ("fill", "fill")):
        hub_folder.write_hub_folder(tmp_path / name, model, text=False, dtype=torch.float32)
    halves = ("--video", tmp_path / "wan", "--image", tmp_path / "fill")
    run(monkeypatch, *halves, "--options", "vae_tiling=true")
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[3:]]
    assert [row[2] for row in cells if row[1] == "none"] == [
        *edit_rows(2, 35), "training step, batch 1, checkpointing on", "encode", "decode",
        "Euler step", "picture",
    ]  # fmt: skip
    assert {row[1] for row in cells} == {"none", "vae_tiling=true"}
    assert all(float(row[3]) > 0 for row in cells)
    for wrong, told in (
        (("--frames", "6"), "4k"),
        (("--width", "100"), "multiple of 16"),
        (("--steps", "36"), "1 to 35"),
        (("--options", "step_cache=first_block"), "needs --whole"),
    ):
        with pytest.raises(InputError, match=told):
            run(monkeypatch, "--video", tmp_path / "wan", *wrong)
