"""Runs side by side on a machine with several GPUs share them out among themselves.

All workers of `dvc queue start -j N` have one environment, so that none can be told its GPU.
Instead each run takes the first one whose lock is free. The locks lie in the state folder, by
machine and GPU; the operating system frees them when their process ends, in whatever way.
"""

import logging
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from refract.base.errors import InputError
from refract.pipeline.item_store import state_root

logger = logging.getLogger(__name__)

_POLL_S = 1.0
_claimed: dict[int, FileLock] = {}  # by index among the visible GPUs; held as long as we live


def wants_own_gpu() -> bool:
    """Whether `$REFRACT_DEVICE` leaves the choice to us; `cuda` and `cuda:N` share unasked."""
    return os.environ.get("REFRACT_DEVICE", "") in ("", "auto")


def claim_gpus(count: int) -> list[int]:
    """Indices among the visible GPUs of `count` that no other run has; the same at every call.

    Waits, with a line in the log, until so many are free. Raises InputError where the machine does
    not have that many.
    """
    import torch

    present = torch.cuda.device_count()
    if count > present:
        raise InputError(f"{count} processes, but this machine has {present} GPU(s): one for each")
    if len(_claimed) < count:
        folder = state_root() / "gpus" / socket.gethostname()
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock" for name in visible_gpus()]
        with _one_run_at_a_time(FileLock(folder / "turn.lock")):
            _take(count, paths)
    return sorted(_claimed)[:count]


def visible_gpus() -> list[str]:
    """What the driver knows the visible GPUs by, in their order: an index, or a UUID if so given.

    `$CUDA_VISIBLE_DEVICES` renumbers them, while a lock must go by the thing itself.
    """
    import torch

    present = torch.cuda.device_count()
    listed = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return listed[:present] if listed != [""] else [str(index) for index in range(present)]


@contextmanager
def _one_run_at_a_time(lock: FileLock) -> Iterator[None]:
    """One run at a time takes GPUs: two that each hold what the other lacks would never start."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _say_waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _take(count: int, paths: Sequence[Path]) -> None:
    """Claim GPUs, whose locks `paths` are, until there are `count`."""
    _take_free(count, paths)
    if len(_claimed) < count:
        _say_waiting()
    while len(_claimed) < count:
        time.sleep(_POLL_S)
        _take_free(count, paths)


def _take_free(count: int, paths: Sequence[Path]) -> None:
    for index, path in enumerate(paths):
        if len(_claimed) < count and index not in _claimed:
            lock = FileLock(path)
            with suppress(Timeout):
                lock.acquire(timeout=0)
                _claimed[index] = lock


def _say_waiting() -> None:
    logger.info("all GPUs are taken by other runs: waiting; $REFRACT_DEVICE = cuda:N shares one")
