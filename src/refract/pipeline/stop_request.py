"""SIGTERM and Ctrl-C as a wish, which a long loop grants at a place where nothing is lost."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Within `with`, signals are noted instead of acted upon; a second Ctrl-C acts at once.

    Outside of the main thread, where Python lets nobody handle signals, none is noted.
    """

    def __init__(self) -> None:
        self.number = 0  # of the last signal; 0 for none
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == self.number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number


def stop(number: int) -> NoReturn:
    """End as the signal would have: KeyboardInterrupt, or SystemExit with a shell's exit code."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
