"""A wish to stop is granted where nothing is lost."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from refract.pipeline.stop_request import StopRequest, stop
from tests.tiny.training import train


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_training_told_to_end_saves_and_goes_on_bit_for_bit(
    tiny_model: Path,
    tiny_triptychs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: signal.Signals,
    ending: type[BaseException],
) -> None:
    options: dict[str, Any] = {"steps": 8, "checkpoint_every": 0}
    monkeypatch.setenv("REFRACT_STATE", str(tmp_path / "straight"))
    straight = train(tiny_model, tiny_triptychs, tmp_path / "straight_out", **options)

    state = tmp_path / "told"
    monkeypatch.setenv("REFRACT_STATE", str(state))
    with monkeypatch.context() as patch:
        # Called at step 4, the first with a row in the curve.
        patch.setattr(
            "refract.infrared.training.loop.log_step", lambda *_: signal.raise_signal(number)
        )
        with pytest.raises(ending):
            train(tiny_model, tiny_triptychs, tmp_path / "out", **options)
    assert "step 4 of 8 is saved" in caplog.text
    assert not (tmp_path / "out").exists()
    assert [path.name for path in state.glob("checkpoints/*/step_*")] == ["step_00000004"]
    assert train(tiny_model, tiny_triptychs, tmp_path / "out", **options) == straight


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with StopRequest() as request:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert request.number == signal.SIGTERM
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_second_ctrl_c_acts_at_once() -> None:
    with StopRequest() as request:
        signal.raise_signal(signal.SIGINT)
        assert request.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_another_thread_works_without() -> None:
    numbers: list[int] = []

    def work() -> None:
        with StopRequest() as request:
            numbers.append(request.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert numbers == [0]


def test_the_exit_code_is_a_shells() -> None:
    with pytest.raises(SystemExit) as ended:
        stop(signal.SIGTERM)
    assert ended.value.code == 143
