"""Runs side by side take one GPU each; the GPUs are made up, the locks and processes real."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from refract.base.errors import InputError
from refract.pipeline import gpu_claim
from refract.pipeline.device import device_kind, pick_device
from refract.pipeline.gpu_claim import claim_gpus, visible_gpus

ROOT = Path(__file__).parents[2]
# Of torch it needs this alone, and importing the whole takes seconds.
OTHER_RUN = """
import sys, time
from types import SimpleNamespace
sys.modules["torch"] = SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 2))
from refract.pipeline.gpu_claim import claim_gpus
print(*claim_gpus(1), flush=True)
time.sleep(300)
"""


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    for name in ("REFRACT_DEVICE", "CUDA_VISIBLE_DEVICES", "LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    yield
    forget()


def forget() -> None:
    """As a new process would begin."""
    for lock in gpu_claim._claimed.values():
        lock.release()
    gpu_claim._claimed.clear()


class OtherRun:
    """Another process that holds a GPU until it is killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", OTHER_RUN],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.gpus = [int(index) for index in self._process.stdout.readline().split()]

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def other() -> Iterator[OtherRun]:
    run = OtherRun()
    yield run
    run.kill()


def test_a_run_keeps_the_gpu_it_has_claimed() -> None:
    assert [pick_device(), pick_device()] == ["cuda:0", "cuda:0"]
    assert device_kind() == "cuda"


def test_the_next_run_takes_the_next_gpu(other: OtherRun, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert other.gpus == [0]
    assert pick_device() == "cuda:1"
    assert chosen == [1], "for what names no device"


def test_a_run_waits_for_one_that_is_killed(
    other: OtherRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(gpu_claim, "_POLL_S", 0.05)
    threading.Timer(0.5, other.kill).start()
    with caplog.at_level("INFO"):
        assert claim_gpus(1) == [0]
    assert caplog.text.count("all GPUs are taken by other runs: waiting") == 1


def test_a_launch_claims_as_many_as_it_has_processes(other: OtherRun) -> None:
    with pytest.raises(InputError, match=r"3 processes, but this machine has 2 GPU"):
        claim_gpus(3)
    other.kill()
    assert claim_gpus(2) == [0, 1]


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0"])
def test_a_device_that_is_named_is_taken_unasked(
    other: OtherRun, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", wanted)
    assert pick_device() == wanted


def test_a_single_gpu_is_shared_as_ever(other: OtherRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("REFRACT_DEVICE", "auto")
    assert pick_device() == "cuda"


def test_a_lock_goes_by_the_gpu_and_not_by_its_number_here(
    other: OtherRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run has GPU 0 of the machine, which is the second of those visible here."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 0")
    assert visible_gpus() == ["3", "0"]
    assert claim_gpus(1) == [0], "GPU 3"
    forget()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937-d72c,MIG-GPU-1/0/1")
    assert claim_gpus(2) == [0, 1]
    names = {path.stem for path in Path(os.environ["REFRACT_STATE"]).rglob("*.lock")}
    assert names == {"turn", "0", "3", "GPU-8932f937-d72c", "MIG-GPU-1_0_1"}


@pytest.mark.parametrize(("here", "device"), [("2", "cuda:1"), ("1", "cuda")])
def test_processes_of_a_launch_claim_nothing(
    monkeypatch: pytest.MonkeyPatch, here: str, device: str
) -> None:
    """Neither two on this machine nor one on each of two."""
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": here, "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert pick_device() == device
    assert not gpu_claim._claimed
