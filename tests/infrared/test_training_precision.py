"""Training in float16, whose gradients are scaled."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.amp import GradScaler

from refract.base.errors import InputError
from tests.tiny.training import train


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
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended after step 3, where the scale has grown once and stands one step before the next."""
    monkeypatch.setattr("refract.infrared.training.job.check_precision", lambda *arguments: None)
    monkeypatch.setattr("refract.infrared.training.loop.Accelerator", ScalerOnCpu)
    options: dict[str, Any] = {"precision": "float16", "checkpoint_every": 3}
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "straight"))
    straight = train(tiny_model, tiny_triptychs, tmp_path / "out_straight", **options)

    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "ended"))
    with monkeypatch.context() as patch:
        patch.setattr("refract.infrared.training.loop.validation_loss", end)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_model, tiny_triptychs, tmp_path / "x", **options)
    assert train(tiny_model, tiny_triptychs, tmp_path / "out_resumed", **options) == straight
    AcceleratorState._reset_state(reset_partial_state=True)
    assert [scaler.get_scale() for scaler in ScalerOnCpu.made] == [2.0**4, 2.0**3, 2.0**4]


def end(*arguments: object) -> float:
    raise KeyboardInterrupt


def test_float16_on_a_cpu_is_refused(
    tiny_model: Path, tiny_triptychs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    told = r"ir_adapter\.precision = float16: .* \(cpu\) it must be float32 or bfloat16"
    with pytest.raises(InputError, match=told):
        train(tiny_model, tiny_triptychs, tmp_path / "out", precision="float16")
    assert not (tmp_path / "out").exists()
