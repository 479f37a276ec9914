"""A training gives the same bytes again: anew, after a kill, from the item store."""

import logging
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.stage_process import ModuleProcess
from tests.tiny.training import LEARNABLE, PRODIGY, command, train, wait_for_checkpoint


def test_two_trainings_from_scratch_are_byte_identical(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for name in ("a", "b"):
        monkeypatch.setenv("REFRACT_STATE", str(tmp_path / name))
        results.append(train(tiny_model, tiny_triptychs, tmp_path / f"out_{name}"))
    assert results[0] == results[1]
    assert sorted(results[0]) == [
        "config.json",
        "curve.csv",
        "pytorch_lora_weights.safetensors",
        "semantic_adapter.safetensors",
    ]


def test_a_killed_training_goes_on_bit_for_bit(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "straight"))
    straight = train(tiny_model, tiny_triptychs, tmp_path / "out_straight", steps=24)

    state = tmp_path / "killed"
    stage = command(tmp_path / "x.yaml", tiny_model, tiny_triptychs, tmp_path / "x", steps=24)
    worker = ModuleProcess(*stage, env={"REFRACT_STATE": str(state)})
    wait_for_checkpoint(worker, state)
    worker.send_signal(signal.SIGKILL)
    assert worker.wait().returncode == -signal.SIGKILL, (
        "the training ended before it could be killed"
    )
    assert not (tmp_path / "x").exists()
    assert list(state.glob("checkpoints/*/step_*"))

    monkeypatch.setenv("REFRACT_STATE", str(state))
    assert train(tiny_model, tiny_triptychs, tmp_path / "out_resumed", steps=24) == straight
    assert not list(state.glob("checkpoints/*/step_*")), "the checkpoints go with the result"


class _BrokenOffError(Exception):
    """What ends a training here between two checkpoints."""


@pytest.mark.parametrize(
    "options", [PRODIGY, {"ema": 0.9}, LEARNABLE], ids=["prodigy", "ema", "learnable_fusion"]
)
def test_a_checkpoint_holds_all_that_a_training_goes_on_with(
    tiny_model: Path,
    tiny_triptychs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "straight"))
    straight = train(tiny_model, tiny_triptychs, tmp_path / "out_straight", **options)

    def break_off(*_: object) -> None:
        raise _BrokenOffError

    state = tmp_path / "broken_off"
    monkeypatch.setenv("REFRACT_STATE", str(state))
    with monkeypatch.context() as patch:
        patch.setattr(
            "refract.infrared.training.loop.log_step", break_off
        )  # first called at step 4 of 6
        with pytest.raises(_BrokenOffError):
            train(tiny_model, tiny_triptychs, tmp_path / "out", **options)
    assert [path.name for path in state.glob("checkpoints/*/step_*")] == ["step_00000002"]
    assert train(tiny_model, tiny_triptychs, tmp_path / "out", **options) == straight


def test_old_settings_come_back_from_the_store(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = train(tiny_model, tiny_triptychs, tmp_path / "a")
    train(tiny_model, tiny_triptychs, tmp_path / "b", lr=1e-3)
    with caplog.at_level(logging.INFO):
        again = train(
            tiny_model, tiny_triptychs, tmp_path / "c", checkpoint_every=3
        )  # without effect
    assert again == first
    assert "in the item store already" in caplog.text
    assert "training on" not in caplog.text
