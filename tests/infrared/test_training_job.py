import csv
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from safetensors.torch import load, load_file

from refract.base.errors import InputError
from refract.infrared.training.loop import Training
from refract.infrared.training.objective import flow_matching_loss
from tests.tiny.fill import write_triptychs
from tests.tiny.training import LEARNABLE, train


def test_the_average_is_what_is_saved_and_validated(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path
) -> None:
    own = train(tiny_model, tiny_triptychs, tmp_path / "own")
    averaged = train(tiny_model, tiny_triptychs, tmp_path / "averaged", ema=0.9)
    close = train(tiny_model, tiny_triptychs, tmp_path / "close", ema=1e-6)
    name = "pytorch_lora_weights.safetensors"
    weights = [load(files[name]) for files in (own, averaged, close)]
    assert not any(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert all(torch.allclose(weights[0][key], weights[2][key], atol=1e-6) for key in weights[0])
    curves = [list(csv.DictReader(x["curve.csv"].decode().splitlines())) for x in (own, averaged)]
    for own_row, row in zip(*curves, strict=True):
        assert row["loss"] == own_row["loss"], "the average does not act on the training"
        assert row["validation_loss"] != own_row["validation_loss"]


class Finished(NamedTuple):
    """One training with two semantic layers, looked at by several tests."""

    output: Path
    state: Path
    log: list[str]


@pytest.fixture(scope="module")
def finished(
    tiny_model: Path, tiny_triptychs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("finished")
    handler, logger = MessageList(), logging.getLogger("refract")
    level = logger.level
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFRACT_STATE", str(folder / "state"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            train(tiny_model, tiny_triptychs, folder / "out", layers=2)
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
    yield Finished(folder / "out", folder / "state", handler.messages)


class MessageList(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_the_log_names_mode_parameters_scales_and_shapes(finished: Finished) -> None:
    text = "\n".join(finished.log)
    assert "semantic mode cross_attention, 2 layers, 8 heads" in text
    assert f"{2 * 16_905} adapter parameters" in text
    assert "x_t (2, 8, 64), x_cond (2, 8, 320), semantic (2, 4, 64), hidden (2, 8, 384)" in text
    line = next(message for message in finished.log if message.startswith("step 6/6"))
    for part in ("100%", "finetune", "loss", "val", "scale [", "s/step", "ETA", "peak"):
        assert part in line


def test_the_log_has_about_twenty_lines_and_the_curve_a_row_each_ten_steps(
    tiny_model: Path,
    tiny_triptychs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Training, "_step", lambda *_: 0.5)  # not in question here
    with caplog.at_level(logging.INFO, "refract"):
        files = train(
            tiny_model, tiny_triptychs, tmp_path, steps=800, validate_every=200, checkpoint_every=0
        )
    assert sum(message.startswith("step ") for message in caplog.messages) == 20
    rows = list(csv.DictReader(files["curve.csv"].decode().splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(10, 801, 10))


def test_sample_panels_at_the_start_and_at_the_end(finished: Finished) -> None:
    names = [path.name for path in sorted(finished.state.glob("ir_samples/*/*.png"))]
    assert names == ["step_000000.png", "step_000006.png"]
    with Image.open(next(finished.state.glob("ir_samples/*/step_000000.png"))) as sheet:
        assert sheet.width == 4 * 32  # visible, infrared, map, output


def test_curve_and_config(finished: Finished) -> None:
    with (finished.output / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["4", "6"]
    assert all(float(row["validation_loss"]) > 0 for row in rows)
    assert {"scale_0", "scale_1", "phase"} <= rows[0].keys()
    config = json.loads((finished.output / "config.json").read_text())
    assert config["panel_px"] == 32
    assert config["prompt"].startswith("a diptych")
    assert config["steps"] == 6


def test_training_moves_lora_and_adapter(finished: Finished) -> None:
    semantic = load_file(finished.output / "semantic_adapter.safetensors")
    assert semantic["layers.0.to_out.weight"].abs().max() > 0
    lora = load_file(finished.output / "pytorch_lora_weights.safetensors")
    assert all(x.abs().max() > 0 for name, x in lora.items() if "lora_B" in name)


@pytest.mark.parametrize("mode", ["pixel_fusion", "panel", "none"])
def test_other_modes_train_without_an_adapter(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, mode: str
) -> None:
    files = train(tiny_model, tiny_triptychs, tmp_path / "out", semantic={"mode": mode}, steps=2)
    assert "semantic_adapter.safetensors" not in files
    assert json.loads(files["config.json"])["fusion_alpha"] == (
        0.5 if mode == "pixel_fusion" else None
    )


def test_a_learnable_alpha_is_trained_logged_and_saved(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "refract"):
        files = train(tiny_model, tiny_triptychs, tmp_path / "out", **LEARNABLE)
    rows = list(csv.DictReader(files["curve.csv"].decode().splitlines()))
    alpha = json.loads(files["config.json"])["fusion_alpha"]
    assert alpha == float(rows[-1]["fusion_alpha"])
    assert 1e-3 < abs(alpha - 0.5) < 0.1
    assert "learnable fusion, alpha from 0.5000" in caplog.text
    assert ": 1 adapter parameters" in caplog.text
    assert f"alpha {alpha:.4f}" in caplog.text


def test_the_described_preset_overrules_the_keys(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = train(
        tiny_model,
        tiny_triptychs,
        tmp_path / "out",
        semantic={"preset": "as_described"},
        scale_lr=1e-6,
    )
    config = json.loads(files["config.json"])
    assert (config["position"], config["gate"], config["site"]) == ("none", "zero_scale", "x_t")
    assert "semantic layer 0 has not moved after the warm-up" in caplog.text


def test_accumulated_small_batches_equal_one_large(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path
) -> None:
    train(tiny_model, tiny_triptychs, tmp_path / "a", batch=4, steps=1)
    train(tiny_model, tiny_triptychs, tmp_path / "b", batch=2, accumulation=2, steps=1)
    rows = []
    for name in ("a", "b"):
        with (tmp_path / name / "curve.csv").open() as file:
            rows.append(next(csv.DictReader(file)))
    assert float(rows[0]["loss"]) == pytest.approx(float(rows[1]["loss"]), rel=1e-5)
    assert float(rows[0]["validation_loss"]) == pytest.approx(
        float(rows[1]["validation_loss"]), rel=1e-3
    )


def test_bad_input_is_named_and_leaves_no_output(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path
) -> None:
    def message(data: Path = tiny_triptychs, base: Path = tiny_model, **changes: Any) -> str:
        with pytest.raises(InputError) as error:
            train(base, data, tmp_path / "out", **changes)
        assert not (tmp_path / "out").exists()
        return str(error.value)

    assert "'to_z' is no linear layer" in message(lora_targets=["to_z"])
    assert "no rows of split val" in message(write_triptychs(tmp_path / "a", {"train": 2}))
    wrong = write_triptychs(tmp_path / "b", {"train": 2, "val": 1})
    odd = wrong / "train" / "train1.png"
    Image.new("RGB", (64, 32)).save(odd)
    assert f"{odd}: found 64 x 32 pixels, expected 96 x 32" in message(wrong)
    assert "no such folder" in message(base=tmp_path / "absent")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{empty}: cannot load vae" in message(base=empty)


def test_a_loss_that_is_no_number_ends_the_training(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "refract.infrared.training.loop.flow_matching_loss",
        lambda *arguments: flow_matching_loss(*arguments) * float("nan"),
    )
    with pytest.raises(InputError, match=r"ir_adapter\.lr = 0\.005.* the loss is nan at step 1"):
        train(tiny_model, tiny_triptychs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
