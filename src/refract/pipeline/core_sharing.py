"""Runs side by side on one machine's cores: while another one is alive, none of them spins.

At the end of its work a thread of libgomp, torch's OpenMP, spins for milliseconds before it sleeps.
That is quick where the cores are free, and where two runs share them each spins away the time of
the other. The number of threads may not go by who else is running, because sums depend on it; how
threads wait may. libgomp reads its waiting policy once, when it is loaded, but where a process has
more OpenMP threads than the machine has cores it spins a hundred times only (GOMP_SPINCOUNT in its
manual), and it looks anew whenever it waits. So a run that has company keeps idle threads: nothing
else about it changes, and it ends with them what it began.

Each run holds the lock of a file of its own in the state folder, by machine; the operating system
frees it when its process ends, in whatever way.
"""

import ctypes
import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

from filelock import FileLock, Timeout

from refract.pipeline.item_store import state_root

logger = logging.getLogger(__name__)

_USERS_CHOICE = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "REFRACT_THREADS")
_POLL_S = 1.0
_ALONE_S = 10.0  # so long alone before spinning again: between two stages of the other run is none
_runs: list[FileLock] = []  # of this process, one; held as long as we live


def share_cores() -> None:
    """Let other runs know of this one, and have it wait without spinning while any is alive.

    The first call alone does something. Whoever sets `$OMP_NUM_THREADS`, `$OMP_WAIT_POLICY`,
    `$GOMP_SPINCOUNT` or `$REFRACT_THREADS` has decided how its threads wait: they are left alone.
    """
    if _runs:
        return
    folder = state_root() / "cores" / socket.gethostname()
    try:
        _runs.append(announce(folder))
    except (OSError, NotImplementedError) as error:  # no locks on this file system
        logger.warning("%s: runs side by side cannot see each other: %s", folder, error)
        return
    openmp = ctypes.CDLL(None)  # what torch has loaded
    if leaves_waiting_to_us(os.environ) and hasattr(openmp, "GOMP_parallel"):
        waiting = Waiting(IdleThreads(openmp))
        waiting.update(count_others(folder, _runs[0]), time.monotonic())
        Thread(target=_watch, args=(waiting, folder), daemon=True).start()


def leaves_waiting_to_us(environment: Mapping[str, str]) -> bool:
    """Whether the user has set none of the variables that say how threads wait, or how many."""
    return not any(environment.get(name) for name in _USERS_CHOICE)


def announce(folder: Path) -> FileLock:
    """The lock by which other runs know of this one, as long as it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{os.getpid()}-{uuid4().hex[:12]}.lock")
    lock.acquire()  # one who counts may have it for a moment, before it is ours
    return lock


def count_others(folder: Path, announced: FileLock) -> int:
    """Runs alive besides the one `announced`; removes the files of those that are not alive."""
    others = 0
    for path in folder.glob("*.lock"):
        if str(path) == announced.lock_file:
            continue
        lock = FileLock(path)
        try:
            with lock.acquire(timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            others += 1
    return others


class IdleThreads:
    """More OpenMP threads than there are cores, which do nothing, while they are kept."""

    def __init__(self, openmp: ctypes.CDLL) -> None:
        self._openmp = openmp
        self._end = Event()

    def keep(self) -> None:
        """Start them."""
        begun, self._end = Event(), Event()
        Thread(target=self._start_and_hold, args=(begun, self._end), daemon=True).start()
        begun.wait()

    def let_go(self) -> None:
        """End them."""
        self._end.set()

    def _start_and_hold(self, begun: Event, end: Event) -> None:
        nothing = ctypes.cast(self._openmp.omp_get_num_procs, ctypes.c_void_p)
        self._openmp.GOMP_parallel(nothing, None, self._openmp.omp_get_num_procs() + 1, 0)
        begun.set()
        end.wait()  # they live as long as the thread that started them


class Waiting:
    """How this process's OpenMP threads wait: spinning while it is alone, else asleep."""

    def __init__(self, idle: IdleThreads) -> None:
        self._idle = idle
        self._last_company = 0.0
        self.spins = True

    def update(self, others: int, now: float) -> None:
        """Go by the number of other runs alive at the time `now`, in seconds."""
        if others:
            self._last_company = now
            if self.spins:
                logger.info("another run is alive: threads wait asleep, not spinning")
                self._idle.keep()
                self.spins = False
        elif not self.spins and now - self._last_company >= _ALONE_S:
            logger.info("no other run is alive any more: threads wait spinning")
            self._idle.let_go()
            self.spins = True


def _watch(waiting: Waiting, folder: Path) -> None:
    with suppress(OSError):  # the folder is gone: nobody to be seen
        while True:
            time.sleep(_POLL_S)
            waiting.update(count_others(folder, _runs[0]), time.monotonic())
