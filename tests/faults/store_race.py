"""Processes that all want the same slots of one store at the same moment."""

import hashlib
import logging
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

from refract.pipeline.item_store import ItemStore, find_damage, materialise
from refract.pipeline.store import find_slots

_TIMEOUT_S = 60.0
_FILES, _BYTES = 3, 5000


def race(folder: Path, rounds: int, workers: int) -> tuple[int, int]:
    """(Times that a worker got a slot, times that it was not what the key stands for).

    Every round has a new key; half of the keys have a damaged slot already.
    """
    for number in range(0, rounds, 2):
        _damaged_slot(folder, number)
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=_work, args=(folder, rounds, barrier, results))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    wrong = sum(results.get(timeout=_TIMEOUT_S) for _ in processes)
    for process in processes:
        process.join(_TIMEOUT_S)
    slots = find_slots(folder)
    wrong += sum(find_damage(slot.path, contents=True) is not None for slot in slots)
    wrong += abs(rounds - len(slots)) + abs(rounds - len(list((folder / "race").iterdir())))
    return rounds * workers, wrong


def _work(folder: Path, rounds: int, barrier: Any, results: Any) -> None:
    # It warns of the damage, by the hundred.
    logging.getLogger("refract.pipeline.item_store").setLevel(logging.ERROR)
    wrong = 0
    for number in range(rounds):
        store = ItemStore(folder, "race", refresh=False)
        barrier.wait(_TIMEOUT_S)
        try:
            wrong += not _take(store, number)
        except Exception:
            wrong += 1
    results.put(wrong)


def _take(store: ItemStore, number: int) -> bool:
    """Get or make an item and link it out, as a stage does; whether it is what it should be."""
    key = _key(number)
    slot = store.get(key)
    if slot is None:
        with store.create(key) as place:
            _write(place, number)
        slot = store.folder / key
    with tempfile.TemporaryDirectory(dir=store.folder.parent) as output:
        materialise(slot, Path(output))
        found = {path.name: path.read_bytes() for path in Path(output).iterdir()}
    return found == _content(number)


def _damaged_slot(folder: Path, number: int) -> None:
    store = ItemStore(folder, "race", refresh=False)
    with store.create(_key(number)) as place:
        _write(place, number)
    victim = store.folder / _key(number) / "0"
    victim.unlink()
    victim.write_bytes(b"?" * _BYTES)


def _write(place: Path, number: int) -> None:
    for name, content in _content(number).items():
        (place / name).write_bytes(content)


def _content(number: int) -> dict[str, bytes]:
    digest = hashlib.sha256(str(number).encode()).digest()
    return {str(file): (digest * _BYTES)[:_BYTES] for file in range(_FILES)}


def _key(number: int) -> str:
    return hashlib.sha256(f"key {number}".encode()).hexdigest()
