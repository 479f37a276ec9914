"""Two processes in the shape of two threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from refract.base.errors import InputError
from refract.pipeline.processes import Processes, check_shared


class Thread(Processes):
    """The process `index` of two, which meet at a barrier."""

    def __init__(self, index: int, barrier: threading.Barrier, told: list[Any]) -> None:
        super().__init__()
        self.count, self.index, self.main = 2, index, index == 0
        self._barrier, self._told = barrier, told

    def wait(self) -> None:
        self._barrier.wait(timeout=10)

    def agree(self, value: Any) -> Any:
        if self.main:
            self._told.append(value)
        self.wait()
        return self._told[-1]


def checked(*folders: Path) -> list[BaseException | None]:
    """What the check in each of the folders has raised."""
    barrier, told = threading.Barrier(2), list[Any]()
    with ThreadPoolExecutor(2) as pool:
        started = [
            pool.submit(check_shared, folder, Thread(index, barrier, told))
            for index, folder in enumerate(folders)
        ]
        return [future.exception() for future in started]


def test_one_folder_of_all_passes_and_is_left_as_it_was(tmp_path: Path) -> None:
    assert checked(tmp_path, tmp_path) == [None, None]
    check_shared(tmp_path, Processes())
    assert not list(tmp_path.iterdir())


def test_a_folder_of_ones_own_is_told_by_who_has_it(tmp_path: Path) -> None:
    own = [tmp_path / name for name in ("a", "b")]
    for folder in own:
        folder.mkdir()
    first, second = checked(*own)
    assert first is None
    with pytest.raises(InputError, match=r"b: process 2 does not see .* \$REFRACT_STATE must be"):
        raise second or AssertionError("nothing was raised")
    assert not list(own[0].iterdir())
