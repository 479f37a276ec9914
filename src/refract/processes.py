"""The processes of one run, as `accelerate launch` and `torchrun` start them.

Every process runs the same program; what tells them apart is here. A run that nothing launched is
its own main process, and all of this leaves it as it is.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from refract.errors import InputError

_T = TypeVar("_T")

# torch gives up after 10 to 30 minutes. Here the others may wait days for the main process, which
# waits for another run of the same training; if it dies, the launcher ends them at once.
_PATIENCE = timedelta(days=30)


def process_count() -> int:
    """Number of processes of this run, known before they have met."""
    return int(os.environ.get("WORLD_SIZE", "1"))


class Processes:
    """All processes of the run, seen from one of them. Each method is to be called by all."""

    def __init__(self, state: PartialState) -> None:
        self._state = state
        self.count: int = state.num_processes
        self.index: int = state.process_index
        self.main: bool = state.is_main_process

    def wait(self) -> None:
        """Return when all processes have come here."""
        self._state.wait_for_everyone()

    def agree(self, value: _T) -> _T:
        """The main process's `value`, for all."""
        told: list[_T] = broadcast_object_list([value])
        return told[0]

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """This process's items; every item is in the share of one process."""
        return items[self.index :: self.count]

    def main_first(self) -> AbstractContextManager[None]:
        """What the others enter when the main process has left it."""
        first: AbstractContextManager[None] = self._state.main_process_first()
        return first


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Bring the processes together, each on its own `device`; they part when all are done.

    After an error they do not part in order: that would wait for the others, who may be waiting for
    this one.
    """
    count = process_count()
    if count > 1 and not device.startswith(("cpu", "cuda")):
        raise InputError(f"{count} processes on the device {device}: only cuda and cpu can do that")
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)  # what accelerate takes for the device `cuda`
    state = PartialState(cpu=device == "cpu", timeout=_PATIENCE)
    if state.num_processes != count:
        raise InputError(
            f"{state.num_processes} processes, but $WORLD_SIZE is {count}: start them with "
            "accelerate launch or torchrun"
        )
    processes = Processes(state)
    yield processes
    processes.wait()
    state.destroy_process_group()
