"""Items in forked processes: results in order, errors, kills, and who ends with whom."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from refract.base.disk_errors import DiskFullError
from refract.base.errors import InputError
from refract.pipeline.device import core_count
from refract.pipeline.forked import forks_items, in_forks, item_threads


def test_results_come_in_the_order_of_the_items_from_other_processes() -> None:
    base = 10  # read by the fork as it stands here

    def work(item: int) -> tuple[int, int]:
        time.sleep(0.05 * (item == 0))
        return base + item, os.getpid()

    results = list(in_forks(work, range(7)))
    assert [value for value, _ in results] == [10, 11, 12, 13, 14, 15, 16]
    processes = {pid for _, pid in results}
    assert len(processes) <= core_count() and os.getpid() not in processes


@pytest.mark.parametrize("error", [InputError("case cup: broken"), DiskFullError("store: full")])
def test_what_an_item_raises_is_raised_here_and_ends_the_others(error: Exception) -> None:
    def work(item: int) -> int:
        if item == 1:
            raise error
        time.sleep(30 * (item > 1))
        return item

    started, done = time.monotonic(), []
    before = psutil.Process().children()
    with pytest.raises(type(error), match=str(error)):
        for result in in_forks(work, range(4)):
            done.append(result)
    assert done == [0]
    assert time.monotonic() - started < 10
    assert psutil.Process().children() == before


def test_a_killed_process_reads_as_want_of_memory() -> None:
    with pytest.raises(MemoryError, match="REFRACT_PROCESSES = 1"):
        list(in_forks(lambda item: os.kill(os.getpid(), signal.SIGKILL), range(2)))


_PARENT = """
import sys, time
from pathlib import Path
from refract.pipeline.device import core_count
from refract.pipeline.forked import in_forks
def work(item):
    Path(sys.argv[1], f"begun{item}").touch()
    time.sleep(60)
list(in_forks(work, range(2)))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_they_end_with_the_process_that_forked_them(tmp_path: Path, number: int) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    while len(list(tmp_path.iterdir())) < 2:
        assert parent.poll() is None
        time.sleep(0.02)
    children = psutil.Process(parent.pid).children()
    assert len(children) == 2
    parent.send_signal(number)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert parent.communicate(timeout=10)[1].count("Traceback") == (number == signal.SIGINT)


def test_who_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    for given, forks in (("", sys.platform == "linux"), ("1", False), ("2", False)):
        monkeypatch.setenv("REFRACT_PROCESSES", given)
        assert forks_items() is forks
        assert item_threads() == (1 if forks else None)
    monkeypatch.setenv("REFRACT_PROCESSES", "")
    monkeypatch.setenv("REFRACT_THREADS", "2")
    assert not forks_items(), "they would wait for threads that the fork has not"
    monkeypatch.setenv("REFRACT_THREADS", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not forks_items(), "several processes were launched"
