"""The processes of one run, as `accelerate launch` and `torchrun` start them.

Every process runs the same program; what tells them apart, lets them meet and shows that they share
a folder is here. A run that nothing launched is its own main process, and all of this leaves it as
it is.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from uuid import uuid4

from refract.base.errors import InputError
from refract.pipeline.device import pick_device

if TYPE_CHECKING:
    from accelerate import PartialState

_T = TypeVar("_T")

# torch gives up after 10 to 30 minutes. Here the others may wait days for the main process, which
# waits for another run of the same training, or for the largest share of the items; if one dies,
# the launcher ends all at once.
_PATIENCE = timedelta(days=30)
_LAUNCHER_S = 30.0  # by when a launcher has ended the others of a process that has failed


def process_count() -> int:
    """Number of processes of this run, known before they have met."""
    return int(os.environ.get("WORLD_SIZE", "1"))


class Processes:
    """All processes of the run, seen from one of them. Each method is to be called by all."""

    def __init__(self, state: "PartialState | None" = None) -> None:
        """state: None for a process that is alone."""
        self._state = state
        self.count: int = 1 if state is None else state.num_processes
        self.index: int = 0 if state is None else state.process_index
        self.main: bool = self.index == 0

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self._state is not None:
            _together(self._state.wait_for_everyone)

    def agree(self, value: _T) -> _T:
        """The main process's `value`, for all."""
        if self._state is None:
            return value
        from accelerate.utils import broadcast_object_list

        told: list[_T] = _together(lambda: broadcast_object_list([value]))
        return told[0]

    def decide(self, find: Callable[[], _T]) -> _T:
        """What `find` gives in the main process, for all; the others do not call it.

        So inputs are read, and warned of, once.
        """
        return self.agree(cast(_T, find() if self.main else None))

    def total(self, number: int) -> int:
        """The sum of every process's `number`, for all."""
        if self._state is None:
            return number
        from accelerate.utils import gather_object

        return sum(_together(lambda: gather_object([number])))

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """This process's items; every item is in the share of one process."""
        return items[self.index :: self.count]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """What the others enter when the main process has left it."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()


def _together(meet: Callable[[], _T]) -> _T:
    """What `meet`, a call that all processes make, returns.

    It raises where another process has ended. The launcher then ends this one as well, at once but
    for the traceback, which would stand after the line of the one that has failed.
    """
    try:
        return meet()
    except RuntimeError:
        time.sleep(_LAUNCHER_S)
        raise


@contextmanager
def joined_processes(device: str | None = None) -> Iterator[Processes]:
    """Bring the processes together, each on its own `device`; they part when all are done.

    device: None takes `pick_device()`, and none at all in a process that is alone: an item stage
    that finds everything in its store needs no device.
    After an error they do not part in order: that would wait for the others, who may be waiting for
    this one.
    """
    count = process_count()
    if device is None and count == 1:
        yield Processes()
        return
    import torch  # not at module level: much of this serves a process that is alone
    from accelerate import PartialState

    device = device or pick_device()
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


def check_shared(folder: Path, processes: Processes) -> None:
    """To be called by all, for a folder that each of them has.

    Raises InputError in a process that does not see what the main one writes there. The name is one
    that nobody has looked for: a network file system remembers for a while what was not there.
    """
    mark = folder / processes.agree(f"shared_{uuid4().hex}")
    if processes.main:
        mark.touch()
    processes.wait()
    seen = mark.exists()
    processes.wait()
    if processes.main:
        mark.unlink()
    if not seen:
        raise InputError(
            f"{folder}: process {processes.index + 1} does not see there what process 1 writes; "
            "$REFRACT_STATE must be a folder that all machines share"
        )
