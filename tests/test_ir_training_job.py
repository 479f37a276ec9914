import csv
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load, load_file
from torch.amp import GradScaler

from refract.errors import InputError
from refract.ir_objective import flow_matching_loss
from refract.ir_training_job import train_adapter
from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModel
from tests.tiny_fill import write_tiny_fill, write_triptychs

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_fill(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def triptychs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_triptychs(tmp_path_factory.mktemp("data") / "triptychs", {"train": 5, "val": 2})


def settings(semantic: dict[str, str] | None = None, **changes: object) -> IrAdapter:
    form = {
        "mode": "cross_attention",
        "preset": "default",
        "layout": "tile",
        "position": "distance_bias",
        "gate": "zero_projection",
        "site": "x_cond",
        "fusion_alpha": 0.5,
        "fusion": "fixed",
    }
    values: dict[str, object] = {
        "semantic": form | (semantic or {}),
        "layers": 1,
        "heads": 8,
        "rank": 2,
        "alpha": 2.0,
        "lora_targets": ["to_q", "proj_mlp"],
        "optimizer": "adamw",
        "lr": 5e-3,
        "semantic_lr": 1e-2,
        "scale_lr": 1e-2,
        "finetune_lr_factor": 0.1,
        "weight_decay": 0.01,
        "steps": 6,
        "phases": {"warmup": 0.34, "finetune": 0.5},
        "batch": 2,
        "accumulation": 1,
        "mirror": True,
        "precision": "float32",
        "ema": 0.0,
        "grad_clip": 1.0,
        "gradient_checkpointing": False,
        "guidance": 1.0,
        "time_shift": 1.0,
        "left_panel_weight": 0.1,
        "validate_every": 4,
        "sample_every": 0,
        "checkpoint_every": 2,
    }
    return IrAdapter.model_validate(values | changes)


def section(model: Path) -> InfraredModel:
    return InfraredModel(path=str(model), revision=None, dtype="float32", max_sequence_length=16)


def train(model: Path, triptychs: Path, output: Path, **changes: Any) -> dict[str, bytes]:
    train_adapter(settings(**changes), section(model), 0, triptychs, output)
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


def test_two_trainings_from_scratch_are_byte_identical(
    model: Path, triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for name in ("a", "b"):
        monkeypatch.setenv("REFRACT_STATE", str(tmp_path / name))
        results.append(train(model, triptychs, tmp_path / f"out_{name}"))
    assert results[0] == results[1]
    assert sorted(results[0]) == [
        "config.json",
        "curve.csv",
        "pytorch_lora_weights.safetensors",
        "semantic_adapter.safetensors",
    ]


PRODIGY: dict[str, Any] = {"optimizer": "prodigy", "lr": 1.0, "semantic_lr": 1.0, "scale_lr": 1.0}


LEARNABLE = {"semantic": {"mode": "pixel_fusion", "fusion": "learnable"}}


@pytest.mark.parametrize(
    "options",
    [{}, PRODIGY, {"ema": 0.9}, LEARNABLE],
    ids=["adamw", "prodigy", "ema", "learnable_fusion"],
)
def test_a_killed_training_goes_on_bit_for_bit(
    model: Path,
    triptychs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "straight"))
    straight = train(model, triptychs, tmp_path / "out_straight", steps=24, **options)

    state = tmp_path / "killed"
    code = (
        "from pathlib import Path\n"
        "from tests.test_ir_training_job import train\n"
        f"train(Path({str(model)!r}), Path({str(triptychs)!r}), Path({str(tmp_path / 'x')!r}), "
        f"steps=24, **{options!r})\n"
    )
    environment = os.environ | {"REFRACT_STATE": str(state), "PYTHONPATH": f"{ROOT}:{ROOT}/src"}
    worker = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not list(state.glob("checkpoints/*/step_*")) and worker.poll() is None:
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL, "the training ended before it could be killed"
    assert not (tmp_path / "x").exists()
    assert list(state.glob("checkpoints/*/step_*"))

    monkeypatch.setenv("REFRACT_STATE", str(state))
    assert train(model, triptychs, tmp_path / "out_resumed", steps=24, **options) == straight
    assert not list(state.glob("checkpoints/*/step_*")), "the checkpoints go with the result"


class ScalerOnCpu(Accelerator):
    """What accelerate does for float16 on a GPU, on a CPU; the scale doubles every second step."""

    made: ClassVar[list[GradScaler]] = []

    def __init__(self, **options: Any) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)  # its precision is the process's
        super().__init__(**options)
        self.native_amp = True
        self.scaler = GradScaler("cpu", init_scale=2.0, growth_interval=2)
        self.made.append(self.scaler)


def test_float16_goes_on_with_the_scale_of_its_gradients(
    model: Path, triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended after step 3, where the scale has grown once and stands one step before the next."""
    monkeypatch.setattr("refract.ir_training_job._check_precision", lambda *arguments: None)
    monkeypatch.setattr("refract.ir_training.Accelerator", ScalerOnCpu)
    options: dict[str, Any] = {"precision": "float16", "checkpoint_every": 3}
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "straight"))
    straight = train(model, triptychs, tmp_path / "out_straight", **options)

    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "ended"))
    with monkeypatch.context() as patch:
        patch.setattr("refract.ir_training.validation_loss", end)
        with pytest.raises(KeyboardInterrupt):
            train(model, triptychs, tmp_path / "x", **options)
    assert train(model, triptychs, tmp_path / "out_resumed", **options) == straight
    AcceleratorState._reset_state(reset_partial_state=True)
    assert [scaler.get_scale() for scaler in ScalerOnCpu.made] == [2.0**4, 2.0**3, 2.0**4]


def end(*arguments: object) -> float:
    raise KeyboardInterrupt


def test_float16_on_a_cpu_is_refused(
    model: Path, triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    told = r"ir_adapter\.precision = float16: .* \(cpu\) it must be float32 or bfloat16"
    with pytest.raises(InputError, match=told):
        train(model, triptychs, tmp_path / "out", precision="float16")
    assert not (tmp_path / "out").exists()


def test_the_average_is_what_is_saved_and_validated(
    model: Path, triptychs: Path, tmp_path: Path
) -> None:
    own = train(model, triptychs, tmp_path / "own")
    averaged = train(model, triptychs, tmp_path / "averaged", ema=0.9)
    close = train(model, triptychs, tmp_path / "close", ema=1e-6)
    name = "pytorch_lora_weights.safetensors"
    weights = [load(files[name]) for files in (own, averaged, close)]
    assert not any(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert all(torch.allclose(weights[0][key], weights[2][key], atol=1e-6) for key in weights[0])
    curves = [list(csv.DictReader(x["curve.csv"].decode().splitlines())) for x in (own, averaged)]
    for own_row, row in zip(*curves, strict=True):
        assert row["loss"] == own_row["loss"], "the average does not act on the training"
        assert row["validation_loss"] != own_row["validation_loss"]


def test_old_settings_come_back_from_the_store(
    model: Path, triptychs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = train(model, triptychs, tmp_path / "a")
    train(model, triptychs, tmp_path / "b", lr=1e-3)
    with caplog.at_level(logging.INFO):
        again = train(model, triptychs, tmp_path / "c", checkpoint_every=3)  # without effect
    assert again == first
    assert "in the item store already" in caplog.text
    assert "training on" not in caplog.text


class Finished(NamedTuple):
    """One training with two semantic layers, looked at by several tests."""

    output: Path
    state: Path
    log: list[str]


@pytest.fixture(scope="module")
def finished(
    model: Path, triptychs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("finished")
    handler, logger = MessageList(), logging.getLogger("refract")
    level = logger.level
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFRACT_STATE", str(folder / "state"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            train(model, triptychs, folder / "out", layers=2)
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
    model: Path, triptychs: Path, tmp_path: Path, mode: str
) -> None:
    files = train(model, triptychs, tmp_path / "out", semantic={"mode": mode}, steps=2)
    assert "semantic_adapter.safetensors" not in files
    assert json.loads(files["config.json"])["fusion_alpha"] == (
        0.5 if mode == "pixel_fusion" else None
    )


def test_a_learnable_alpha_is_trained_logged_and_saved(
    model: Path, triptychs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "refract"):
        files = train(model, triptychs, tmp_path / "out", **LEARNABLE)
    rows = list(csv.DictReader(files["curve.csv"].decode().splitlines()))
    alpha = json.loads(files["config.json"])["fusion_alpha"]
    assert alpha == float(rows[-1]["fusion_alpha"])
    assert 1e-3 < abs(alpha - 0.5) < 0.1
    assert "learnable fusion, alpha from 0.5000" in caplog.text
    assert ": 1 adapter parameters" in caplog.text
    assert f"alpha {alpha:.4f}" in caplog.text


def test_the_described_preset_overrules_the_keys(
    model: Path, triptychs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = train(
        model, triptychs, tmp_path / "out", semantic={"preset": "as_described"}, scale_lr=1e-6
    )
    config = json.loads(files["config.json"])
    assert (config["position"], config["gate"], config["site"]) == ("none", "zero_scale", "x_t")
    assert "semantic layer 0 has not moved after the warm-up" in caplog.text


def test_accumulated_small_batches_equal_one_large(
    model: Path, triptychs: Path, tmp_path: Path
) -> None:
    train(model, triptychs, tmp_path / "a", batch=4, steps=1)
    train(model, triptychs, tmp_path / "b", batch=2, accumulation=2, steps=1)
    rows = []
    for name in ("a", "b"):
        with (tmp_path / name / "curve.csv").open() as file:
            rows.append(next(csv.DictReader(file)))
    assert float(rows[0]["loss"]) == pytest.approx(float(rows[1]["loss"]), rel=1e-5)
    assert float(rows[0]["validation_loss"]) == pytest.approx(
        float(rows[1]["validation_loss"]), rel=1e-3
    )


def test_bad_input_is_named_and_leaves_no_output(
    model: Path, triptychs: Path, tmp_path: Path
) -> None:
    def message(data: Path = triptychs, base: Path = model, **changes: Any) -> str:
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
    assert f"{empty}/vae: cannot load a AutoencoderKL" in message(base=empty)


def test_a_loss_that_is_no_number_ends_the_training(
    model: Path, triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "refract.ir_training.flow_matching_loss",
        lambda *arguments: flow_matching_loss(*arguments) * float("nan"),
    )
    with pytest.raises(InputError, match=r"ir_adapter\.lr = 0\.005.* the loss is nan at step 1"):
        train(model, triptychs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
