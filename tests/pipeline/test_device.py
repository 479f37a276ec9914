import pytest
import torch

from refract.base.errors import InputError
from refract.pipeline.device import pick_device


def test_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    assert pick_device() == "cpu"


def test_best_present_device_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFRACT_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device() == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == "cpu"


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:99", "cpu:0"])
def test_unknown_or_absent_devices_are_input_errors(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", wanted)
    with pytest.raises(InputError, match="REFRACT_DEVICE"):
        pick_device()
