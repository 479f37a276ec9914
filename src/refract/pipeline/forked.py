"""Items of a stage side by side on the CPU, in forked processes of one thread each.

The matrices of a small model leave a second thread waiting more than working, while two items side
by side keep two cores busy; and bytes then do not depend on how many cores there are. What is
loaded before the fork is shared: a forked process costs neither imports nor weights of its own.
On a GPU, and in a run of several launched processes, items are computed one after another.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from refract.pipeline.device import core_count, device_kind
from refract.pipeline.processes import process_count
from refract.pipeline.stage_runner import die_with_parent

_T = TypeVar("_T")
_R = TypeVar("_R")


def forks_items() -> bool:
    """Whether items go side by side: on the CPU of a Linux machine (elsewhere a fork is not safe).

    Not with `$REFRACT_PROCESSES`, 1 for none or more for processes that are launched, nor with more
    than one thread in `$REFRACT_THREADS`: a fork cannot use the threads of the process it left.
    """
    counted = os.environ.get("REFRACT_PROCESSES") or process_count() > 1
    threads = os.environ.get("REFRACT_THREADS") or "1"
    alone = not counted and threads == "1"
    return alone and sys.platform == "linux" and device_kind() == "cpu"


def item_threads() -> int | None:
    """Threads an item is computed with; None for all cores."""
    return 1 if forks_items() else None


def in_forks(
    work: Callable[[_T], _R], items: Sequence[_T], waiting: Callable[[], Any] = lambda: None
) -> Iterator[_R]:
    """What `work` returns of each item, in their order, from forked processes, one a core at most.

    waiting: called about once a second while none is ready.
    Everything that `work` reads is to be loaded before. What it raises is raised here, and the
    others are ended; so they are when this process ends, in whatever way.
    Raises MemoryError where one was killed from outside.
    """
    with ProcessPoolExecutor(
        min(core_count(), len(items)),
        multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(work, os.getpid()),  # a fork inherits them: nothing is pickled
    ) as pool:
        futures = [pool.submit(_do, item) for item in items]
        try:
            for future in futures:
                while not wait([future], timeout=1).done:
                    waiting()
                yield future.result()
        except BrokenProcessPool as error:
            raise MemoryError(
                "a process was killed, as the system does where memory runs out; "
                "$REFRACT_PROCESSES = 1 computes one item at a time"
            ) from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.kill()
            raise


class SharedCounter:
    """A number that processes forked after it was made add to."""

    def __init__(self) -> None:
        self._value = multiprocessing.get_context("fork").Value("q", 0)

    def add(self, number: int) -> None:
        with self._value.get_lock():
            self._value.value += number

    @property
    def value(self) -> int:
        return int(self._value.value)


_work: Callable[[Any], Any]  # of a forked process, for its life


def _begin(work: Callable[[Any], Any], parent: int) -> None:
    import torch  # not at module level: what finds everything in its store needs none

    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends the others
    die_with_parent()
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    torch.set_num_threads(1)
    _work = work


def _do(item: Any) -> Any:
    return _work(item)
