"""The benchmark at full scale: its arithmetic, and a run of it on the smallest clip there is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from benchmarks import full_scale_models, full_scale_video
from benchmarks.full_scale import check, main, parse, scale_of, shortfall
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
from benchmarks.full_scale_measure import measure, unless_out_of_memory
from benchmarks.full_scale_models import WAN_NAMES, Cut, empty_model, random_model
from benchmarks.full_scale_options import OptionSet, parse_options
from benchmarks.full_scale_report import measured_table, video_flops_table
from benchmarks.full_scale_run import OUT_OF_MEMORY, Row, Scale
from benchmarks.full_scale_targets import MET, MISSED, NOT_MEASURED, target_lines, targets
from benchmarks.full_scale_training import random_batch, training_settings
from benchmarks.full_scale_video import (
    BANK,
    DECODE,
    EDIT,
    EDIT_BANK,
    ENCODE,
    LOAD,
    PLAIN,
    POINT,
    SOURCE,
    STEP,
    STEP_BANK,
    STEP_SWEPT,
    rows_of,
    totals,
)
from benchmarks.full_scale_video import edit_setting as full_edit_setting
from benchmarks.timing import CLOCKS, Timings
from benchmarks.true_shapes import FILL, WAN_LARGE, WAN_SMALL
from benchmarks.wan_step import Shape, reference_flops
from refract.errors import InputError
from refract.params.models import InfraredModel, VideoModel

# The widths of the models through a thousandth, everything else as published
TINY_WAN = {
    **WAN_SMALL, "attention_head_dim": 12, "ffn_dim": 32, "num_attention_heads": 2, "text_dim": 16
}  # fmt: skip
TINY_WAN_VAE = {
    "base_dim": 8, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "z_dim": 16,
    "temperal_downsample": [False, True, True],
}  # fmt: skip
TINY_FILL = {
    **FILL, "attention_head_dim": 16, "axes_dims_rope": [4, 6, 6], "joint_attention_dim": 32,
    "num_attention_heads": 2, "pooled_projection_dim": 16,
}  # fmt: skip
TINY_FILL_VAE = {
    **full_scale_models.FILL_VAE, "block_out_channels": [8, 8, 8, 8], "layers_per_block": 1,
    "norm_num_groups": 2,
}  # fmt: skip
SMALL = replace(TRUE_SCALE, frames=5, width=64, height=32, panel_px=32, words=8, cut=Cut(2))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both models at a thousandth of their width; T5's and CLIP's embeddings with them."""
    parts = full_scale_models._PARTS
    small = {16: TINY_WAN_VAE}
    for name, part in list(parts):
        kind, _ = parts[name, part]
        fill = name == full_scale_models.FILL_NAME
        config = {
            ("transformer", True): TINY_FILL, ("vae", True): TINY_FILL_VAE,
            ("transformer", False): TINY_WAN, ("vae", False): small[16],
        }[part, fill]  # fmt: skip
        monkeypatch.setitem(parts, (name, part), (kind, config))
    for key, value in TINY_FILL.items():
        monkeypatch.setitem(FILL, key, value)


def tiny_arguments(*more: str) -> list[str]:
    sizes = {"depth": 1, "frames": 5, "width": 32, "height": 32, "panel-px": 32, "words": 4}
    flags = [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
    return [*flags, "--repeats", "1", "--steps", "2", *more]


def test_a_run_on_a_cpu_has_every_row(
    tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    more = ["--options", "vae_slicing=true", "--options", "offload=block", "--profile"]
    main(tiny_arguments(*more, "--json", str(tmp_path / "a" / "full.json")))
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "a" / "full.json").read_text())
    found = {(row["half"], row["options"], row["what"]): row for row in document["rows"]}
    video = {ENCODE, DECODE, STEP, STEP_BANK, STEP_SWEPT, EDIT, EDIT_BANK, POINT}
    training = "training step, batch 1, checkpointing on"
    infrared = {training, "encode", "Euler step", "decode", "picture"}
    sets = ("none", "vae_slicing=true", "offload=block")
    expected = {("video 1.3B", options, what) for options in sets for what in video}
    expected |= {("infrared", options, what) for options in sets for what in infrared}
    assert found.keys() == expected
    refused = found.pop(("infrared", "offload=block", training))
    assert refused["how"] == "not run: offload in inference alone" and refused["seconds"] is None
    assert all(row["seconds"] > 0 and row["peak"] >= 0 for row in found.values())
    assert found["video 1.3B", "none", EDIT]["how"] == "2 of 35 steps run"
    assert document["layers"][WAN_NAMES["1.3B"]] == "1 of 30 layers"
    assert {target["verdict"] for target in document["targets"]} == {NOT_MEASURED}
    assert printed.count(f"**{NOT_MEASURED}**") == 5 and "no GPU, device cpu" in printed
    assert "diffusers" in printed and "1+1 of 19+38 layers" in printed
    for heading in (f"{WAN_NAMES['1.3B']}, steps with bank", "FLUX.1-Fill-dev, training steps"):
        assert heading in printed
    assert "Self CPU time total" in printed


@pytest.mark.long
def test_a_quantised_base_and_training_without_checkpoints_are_rows_of_the_infrared_half(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes")
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    more = ["--options", "gradient_checkpointing=false", "--options", "quantization=nf4"]
    main(tiny_arguments(*more, "--json", str(tmp_path / "full.json")))
    rows = json.loads((tmp_path / "full.json").read_text())["rows"]
    kinds = {(row["options"], row["half"], row["what"].partition(",")[0]) for row in rows}
    training = {kind for kind in kinds if kind[0] == "gradient_checkpointing=false"}
    assert training == {("gradient_checkpointing=false", "infrared", "training step")}
    own = {what for options, half, what in kinds if options == "quantization=nf4"}
    assert own == {"training step", "encode", "Euler step", "decode", "picture"}
    assert all(row["seconds"] for row in rows)


@pytest.mark.long
def test_what_runs_out_of_memory_is_a_row_and_no_end(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(full_scale_video, "edit_with_reference", full)
    monkeypatch.setattr("benchmarks.full_scale_training.train", full)
    main(tiny_arguments("--json", str(tmp_path / "full.json")))
    rows = json.loads((tmp_path / "full.json").read_text())["rows"]
    lacking = {row["what"].partition(",")[0] for row in rows if row["how"] == OUT_OF_MEMORY}
    assert lacking == {"edit step", "edit", "sweep point", "training step"}
    able = {row["what"] for row in rows if row["how"] != OUT_OF_MEMORY}
    assert {EDIT, STEP, "picture"} <= able and not {EDIT_BANK, POINT} & able
    assert OUT_OF_MEMORY in capsys.readouterr().out


def test_only_a_lack_of_memory_is_taken_for_one() -> None:
    def fail(error: Exception) -> int:
        raise error

    assert unless_out_of_memory(lambda: 7) == 7
    for error in (
        torch.OutOfMemoryError("CUDA"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ):
        assert unless_out_of_memory(lambda error=error: fail(error)) is None  # type: ignore[misc]
    with pytest.raises(RuntimeError, match="shapes"):
        unless_out_of_memory(lambda: fail(RuntimeError("shapes do not fit")))


def test_the_others_are_timed_without_what_lacks_memory() -> None:
    def full() -> None:
        raise MemoryError

    parts = measure(
        {"full": full, "small": lambda: torch.ones(8)}, device="cpu", repeats=2, clock=CLOCKS["cpu"]
    )
    assert parts.lacking == {"full"} and list(parts.timings.seconds) == ["small"]
    assert len(parts.timings.seconds["small"]) == 2


@given(
    a_pass=st.floats(0.1, 10), extra=st.floats(0, 5), done=st.integers(1, 35),
    more=st.integers(0, 40),
)  # fmt: skip
def test_whole_edits_are_their_passes(a_pass: float, extra: float, done: int, more: int) -> None:
    """Of K steps: K passes of the source branch, 2K - 1 of the edit, K of which see the bank."""
    total = done + more
    seconds = {
        ENCODE: 3.0, SOURCE: done * a_pass, PLAIN: (2 * done - 1) * a_pass,
        BANK: (2 * done - 1) * a_pass + done * extra, LOAD: 0.25 * done, DECODE: 4.0,
    }  # fmt: skip
    found = totals({name: [value] for name, value in seconds.items()}, done, total)
    plain = 7 + (3 * total - 1) * a_pass
    swept = (2 * total - 1) * a_pass + total * extra
    expected = {
        ENCODE: 3.0, DECODE: 4.0, STEP: 3 * a_pass, STEP_BANK: 3 * a_pass + extra,
        STEP_SWEPT: 2 * a_pass + extra, EDIT: plain, EDIT_BANK: plain + total * extra,
        POINT: 4 + 0.25 * total + swept,
    }  # fmt: skip
    assert {name: value for name, (value,) in found.items()} == pytest.approx(expected)


def test_rows_compare_within_their_rounds() -> None:
    seconds = {
        ENCODE: [1.0, 2.0], SOURCE: [35.0, 70.0], PLAIN: [69.0, 138.0], BANK: [79.5, 159.0],
        LOAD: [0.0, 0.0], DECODE: [1.0, 2.0],
    }  # fmt: skip
    parts = full_scale_video.Parts(Timings(seconds), dict.fromkeys(seconds, 5), frozenset())
    rows = {row.what: row for row in rows_of(parts, full_edit_setting(None), "video", "none")}
    assert rows[EDIT].seconds == 1.5 * 106 and rows[EDIT].how == "35 of 35 steps run"
    assert rows[EDIT_BANK].ratio == pytest.approx(116.5 / 106)
    assert rows[EDIT_BANK].low == rows[EDIT_BANK].high
    assert rows[POINT].base == EDIT_BANK and rows[POINT].ratio == pytest.approx(80.5 / 116.5)


def test_without_a_gpu_little_is_run_and_all_of_it_with_one() -> None:
    reduced = scale_of(parse([]), "cpu")
    assert (reduced.cut.depth, reduced.frames, reduced.dtype, reduced.steps) == (2, 5, "float32", 2)
    assert "no GPU" in shortfall(reduced) and "depth 2" in shortfall(reduced)
    whole = scale_of(parse(["--whole"]), "cuda")
    assert (whole.frames, whole.width, whole.height, whole.panel_px) == (49, 832, 480, 512)
    assert whole.cut == Cut() and whole.steps is None and not shortfall(whole)
    assert not shortfall(scale_of(parse(["--depth", "40"]), "cuda"))
    assert "depth 30" in shortfall(scale_of(parse(["--depth", "30"]), "cuda"))
    assert "words 8 for 512" in shortfall(scale_of(parse(["--words", "8"]), "cuda"))


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--frames", "6", "4k + 1"), ("--frames", "-3", "4k + 1"), ("--width", "100", "16"),
        ("--panel-px", "0", "16"), ("--steps", "36", "1 to 35"), ("--depth", "0", "1 to 40"),
        ("--words", "513", "1 to 512"), ("--repeats", "0", "1 or more"),
    ],
)  # fmt: skip
def test_sizes_the_models_cannot_take_are_refused(flag: str, value: str, allowed: str) -> None:
    with pytest.raises(InputError, match=flag) as error:
        scale_of(parse([flag, value]), "cpu")
    assert allowed in str(error.value)


def test_flags_choose_halves_and_models() -> None:
    options = parse(["--half", "video", "--model", "1.3B", "14B", "--options", "offload=leaf"])
    assert options.half == ["video"] and options.model == ["1.3B", "14B"]
    assert parse([]).half == ["infrared", "video"] and parse([]).options == []
    for wrong in (["--half", "audio"], ["--model", "7B"], ["--dtype", "int8"]):
        with pytest.raises(SystemExit):
            parse(wrong)


def test_options_are_those_of_params_yaml() -> None:
    options = parse_options("dtype=float16,vae_tiling=true,offload=block")
    assert options.values == {"dtype": "float16", "vae_tiling": True, "offload": "block"}
    section = options.video(WAN_NAMES["14B"], "bfloat16", 512)
    assert section.dtype == "float16" and section.vae_tiling and section.offload == "block"
    assert not parse_options("gradient_checkpointing=false").checkpointing
    for wrong in (
        "offload",
        "path=a/b",
        "quantisation=nf4",
        "gradient_checkpointing=1",
        "offload=[",
    ):
        with pytest.raises(InputError, match="--options"):
            parse_options(wrong)
    with pytest.raises(InputError, match="--options offload=disk: offload"):
        parse_options("offload=disk").infrared("float32", 8)
    assert parse_options("quantization=nf4").known_to(InfraredModel)
    assert not parse_options("quantization=nf4").known_to(VideoModel)
    with pytest.raises(InputError, match="not known to video"):
        check(parse_options("quantization=nf4"), ["video"], scale_of(parse([]), "cpu"))
    with pytest.raises(InputError, match="--depth 1: must be 2 or more"):
        one = scale_of(parse(["--depth", "1"]), "cpu")
        check(parse_options("step_cache=first_block"), ["video"], one)
    with pytest.raises(InputError, match="compile"):
        parts = parse_options("compile=true,offload=block")
        check(parts, ["video"], scale_of(parse([]), "cpu"))


@pytest.mark.long
def test_few_steps_of_a_cache_are_not_taken_for_many(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    cached = ["--options", "step_cache=first_block", "--half", "video", "--depth", "2"]
    main(tiny_arguments(*cached, "--json", str(tmp_path / "few.json")))
    rows = json.loads((tmp_path / "few.json").read_text())["rows"]
    own = [row for row in rows if row["options"] != "none"]
    assert [row["how"] for row in own] == ["not run: a step cache needs --whole"]
    main(tiny_arguments(*cached, "--whole", "--json", str(tmp_path / "whole.json")))
    rows = json.loads((tmp_path / "whole.json").read_text())["rows"]
    assert all(row["seconds"] for row in rows)
    assert {row["how"] for row in rows} == {"run", "35 of 35 steps run"}


def row(what: str, options: str = "none", **figures: Any) -> Row:
    return Row("video 1.3B" if "step," not in what else "infrared", options, what, "run", **figures)


def test_targets_are_met_missed_or_not_measured() -> None:
    training = "training step, batch 1, checkpointing on"
    rows = [
        row(EDIT, seconds=19.0), row(EDIT_BANK, ratio=1.09), row(POINT, ratio=0.69),
        row(EDIT_BANK, "compile=true", ratio=1.0), row(training, peak=int(30e9)),
    ]  # fmt: skip
    found = targets(rows, "", "quantization")
    assert [target.verdict for target in found] == [MISSED, MET, MET, MET, NOT_MEASURED]
    assert "video 1.3B 1.090" in found[0].found
    small = row(training, "quantization=nf4", peak=int(25e9))
    assert targets([*rows, small], "", "quantization")[-1].verdict == MISSED
    lacking = Row("infrared", "none", training, OUT_OF_MEMORY)
    assert targets([*rows[:-1], lacking], "", "quantization")[3].verdict == MISSED
    text = target_lines(targets(rows, "no GPU", "quantization"))
    assert text.count(NOT_MEASURED) == 5 and text.endswith("All of them: no GPU.")


def test_the_table_compares_with_the_row_without_options() -> None:
    rows = [row(EDIT, seconds=10.0, peak=2**30), row(EDIT, "offload=block", seconds=15.0)]
    lines = measured_table(rows, "cuda").splitlines()
    assert "| 1.0 |" in lines[2] and "| 1.5 |" in lines[3]
    assert "peak GiB" in lines[0] and "extra peak MiB" in measured_table(rows, "cpu")


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
