"""The benchmark at full scale: its arithmetic, and a run of it on the smallest clip there is."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import full_scale_video
from benchmarks.full_scale import check, main, parse, scale_of, shortfall
from benchmarks.full_scale_measure import measure, unless_out_of_memory
from benchmarks.full_scale_models import WAN_NAMES, Cut
from benchmarks.full_scale_options import parse_options
from benchmarks.full_scale_report import measured_table
from benchmarks.full_scale_run import OUT_OF_MEMORY, Row
from benchmarks.full_scale_targets import MET, MISSED, NOT_MEASURED, target_lines, targets
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
from refract.base.errors import InputError
from refract.params.models import InfraredModel, VideoModel
from tests.tiny.full_scale import make_tiny


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny(monkeypatch)


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
    pytest.importorskip("bitsandbytes", reason="the optional extra [quantised]")
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
