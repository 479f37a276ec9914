import multiprocessing
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from refract.base.errors import InputError
from refract.pipeline import import_closure, item_store
from refract.pipeline.item_store import (
    INDEX_NAME,
    ItemStore,
    find_damage,
    hash_file,
    materialise,
    refresh_wanted,
    remove_abandoned,
    state_root,
)


@pytest.fixture
def store(tmp_path: Path) -> ItemStore:
    return ItemStore(tmp_path / "store", "infer_ir")


def key_of(store: ItemStore, **changes: Any) -> str:
    facts: dict[str, Any] = {"params": {"steps": 20}, "inputs": {"image": "ab"}, "code": []}
    return store.key(**(facts | changes))


def compute(store: ItemStore, key: str, text: str = "result") -> Path:
    with store.create(key) as folder:
        (folder / "below").mkdir()
        (folder / "below" / "item.txt").write_text(text)
    slot = store.get(key)
    assert slot is not None
    return slot


def test_key_follows_everything_it_is_made_of(
    store: ItemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_closure, "_ROOT", tmp_path)
    code = tmp_path / "stage.py"
    code.write_text("a = 1\n")
    base = key_of(store, code=[code])
    assert key_of(store, code=[code]) == base
    assert key_of(store, params={"steps": 21}, code=[code]) != base
    assert key_of(store, inputs={"image": "ac"}, code=[code]) != base
    assert key_of(store, inputs={"images": "ab"}, code=[code]) != base
    assert key_of(store, code=[code], model="owner/name@main") != base
    for folder, text, same in (("edited", "a = 2\n", False), ("checkout", "a = 1  # one\n", True)):
        other = tmp_path / folder / "stage.py"
        other.parent.mkdir()
        other.write_text(text)
        assert (key_of(store, code=[other]) == base) is same, "what it says counts, not the place"


def test_key_ignores_order_and_refuses_what_has_no_stable_text(store: ItemStore) -> None:
    assert key_of(store, params={"a": 1, "b": 2}) == key_of(store, params={"b": 2, "a": 1})
    with pytest.raises(TypeError, match="JSON-like"):
        key_of(store, params={"a": object()})
    with pytest.raises(ValueError, match="JSON"):
        key_of(store, params={"a": float("nan")})


def write(text: str, folder: Path) -> None:
    (folder / "item.txt").write_text(text)


def run(root: Path, values: list[float]) -> tuple[list[str], int, int]:
    """A run of a stage over items `values`: (results, computed, hits)."""
    store = ItemStore(root, "infer_ir")
    results = []
    for value in values:
        key = key_of(store, params={"ref_strength": value})
        slot = store.get_or_make(key, partial(write, str(value)))
        results.append((slot / "item.txt").read_text())
    return results, store.computed, store.hits


def test_add_change_remove_and_return(tmp_path: Path) -> None:
    """Adding computes one item, a change another; taking away and going back compute nothing."""
    assert run(tmp_path, [0.5]) == (["0.5"], 1, 0)
    assert run(tmp_path, [0.5, 1.0]) == (["0.5", "1.0"], 1, 1)
    assert run(tmp_path, [0.5, 2.0]) == (["0.5", "2.0"], 1, 1)
    assert run(tmp_path, [2.0]) == (["2.0"], 0, 1)
    assert run(tmp_path, [0.5, 1.0]) == (["0.5", "1.0"], 0, 2)


def test_an_item_asked_for_twice_counts_once(store: ItemStore, tmp_path: Path) -> None:
    compute(store, "k")
    again = ItemStore(tmp_path / "store", "infer_ir")
    assert again.get("k") == again.get("k") and again.hits == 1


def test_a_removed_item_is_absent_from_the_output(store: ItemStore, tmp_path: Path) -> None:
    slots = {name: compute(store, key_of(store, inputs={"image": name}), name) for name in "abc"}
    for wanted in ("abc", "ac"):
        target = tmp_path / f"out-{wanted}"
        for name in wanted:
            materialise(slots[name], target / name)
        assert sorted(path.name for path in target.iterdir()) == list(wanted)
        assert (target / "a" / "below" / "item.txt").read_text() == "a"
        assert not list(target.rglob(INDEX_NAME)), "the index stays in the store"


def test_outputs_are_linked_and_read_only(store: ItemStore, tmp_path: Path) -> None:
    slot = compute(store, "k")
    materialise(slot, tmp_path / "out")
    linked = tmp_path / "out" / "below" / "item.txt"
    assert linked.samefile(slot / "below" / "item.txt")
    assert linked.stat().st_mode & 0o222 == 0


def test_copies_where_links_are_impossible(
    store: ItemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = compute(store, "k")

    def refuse(source: Path, destination: Path) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    materialise(slot, tmp_path / "out")
    copied = tmp_path / "out" / "below" / "item.txt"
    assert copied.read_text() == "result" and not copied.samefile(slot / "below" / "item.txt")


def test_exception_leaves_no_slot(store: ItemStore) -> None:
    with pytest.raises(RuntimeError), store.create("k") as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert store.get("k") is None and store.computed == 0
    assert list(store.folder.iterdir()) == []


def _work_until_killed(root: Path, ready: Any) -> None:
    store = ItemStore(root, "infer_ir")
    compute(store, "finished")
    with store.create("unfinished") as folder:
        (folder / "half").write_text("half")
        ready.set()
        time.sleep(60)


def test_a_killed_worker_keeps_its_finished_items(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    worker = context.Process(target=_work_until_killed, args=(tmp_path, ready))
    worker.start()
    assert ready.wait(20) and worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(20)
    store = ItemStore(tmp_path, "infer_ir")
    assert store.get("finished") is not None
    assert store.get("unfinished") is None
    compute(store, "unfinished")
    assert store.get("unfinished") is not None


def _race(root: Path, barrier: Any, results: Any) -> None:
    store = ItemStore(root, "infer_ir")
    with store.create("contested") as folder:
        (folder / "item").write_text("same bytes")
        barrier.wait(20)
    slot = store.get("contested")
    results.put(slot is not None and (slot / "item").read_text() == "same bytes")


def test_racing_workers_both_succeed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_race, args=(tmp_path, barrier, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=20) for _ in workers] == [True] * 4
    for worker in workers:
        worker.join(20)
    slots = [path.name for path in (tmp_path / "infer_ir").iterdir()]
    assert slots == ["contested"], "one slot and no leftovers"


def test_refresh_computes_again_and_replaces(tmp_path: Path) -> None:
    compute(ItemStore(tmp_path, "s"), "k", "old")
    refreshing = ItemStore(tmp_path, "s", refresh=True)
    assert refreshing.get("k") is None
    assert (compute(refreshing, "k", "new") / "below" / "item.txt").read_text() == "new"
    later = ItemStore(tmp_path, "s").get("k")
    assert later is not None and (later / "below" / "item.txt").read_text() == "new"


@pytest.mark.parametrize(("value", "wanted"), [("1", True), ("0", False), ("", False)])
def test_refresh_switch(monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool) -> None:
    monkeypatch.setenv("REFRACT_REFRESH", value)
    assert refresh_wanted() is wanted


def test_damaged_slots_are_reported_and_computed_again(
    store: ItemStore, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for damage in ("truncate", "remove", "add", "index", "no index"):
        slot = compute(store, damage)
        file = slot / "below" / "item.txt"
        if damage == "truncate":
            file.chmod(0o644)
            file.write_text("res")
        elif damage == "remove":
            file.unlink()
        elif damage == "add":
            (slot / "stray").touch()
        elif damage == "index":
            (slot / INDEX_NAME).write_text("{")
        else:
            (slot / INDEX_NAME).unlink()
        fresh = ItemStore(tmp_path / "store", "infer_ir")
        assert fresh.get(damage) is None and fresh.hits == 0
        assert damage in caplog.records[-1].getMessage() and "damaged" in caplog.text
        assert find_damage(compute(fresh, damage)) is None, "the damaged slot is replaced"


def rewrite(path: Path, text: str, *, later_s: int = 1) -> None:
    """As a write so many seconds after the present content."""
    time_ns = path.stat().st_mtime_ns + later_s * 10**9
    path.chmod(0o644)
    path.write_text(text)
    os.utime(path, ns=(time_ns, time_ns))


def test_changed_bytes_of_equal_length_are_found_when_a_slot_is_served(
    store: ItemStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slot = compute(store, "k", "abc")
    rewrite(slot / "below" / "item.txt", "abd")
    fresh = ItemStore(tmp_path / "store", "infer_ir")
    assert fresh.get("k") is None and "sha256" in caplog.text
    compute(fresh, "k", "abc")
    assert find_damage(slot, contents=True) is None, "the damaged slot is replaced"


def test_what_keeps_length_and_time_is_found_by_reading_alone(
    store: ItemStore, tmp_path: Path
) -> None:
    """Which `store verify` does."""
    slot = compute(store, "k", "abc")
    rewrite(slot / "below" / "item.txt", "abd", later_s=0)
    assert ItemStore(tmp_path / "store", "infer_ir").get("k") is not None
    assert "sha256" in (find_damage(slot, contents=True) or "")


def test_a_slot_is_served_unread_and_a_copy_read_once(
    store: ItemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def count(path: Path) -> str:
        read.append(path)
        return hash_file(path)

    compute(store, "k")
    shutil.copytree(tmp_path / "store", tmp_path / "copy", copy_function=shutil.copyfile)
    item = tmp_path / "copy" / "infer_ir" / "k" / "below" / "item.txt"
    os.utime(item, (1, 1))
    monkeypatch.setattr(item_store, "hash_file", count)
    assert ItemStore(tmp_path / "store", "infer_ir").get("k") is not None
    assert read == []
    for _ in range(2):
        assert ItemStore(tmp_path / "copy", "infer_ir").get("k") is not None
    assert read == [item]


def _make_beside_a_damaged_slot(root: Path, refresh: bool, barrier: Any, results: Any) -> None:
    store = ItemStore(root, "infer_ir", refresh=refresh)
    for number in range(20):
        with store.create(f"k{number}") as folder:
            (folder / "item").write_text("whole")
            barrier.wait(20)
    results.put(all((store.folder / f"k{n}" / "item").read_text() == "whole" for n in range(20)))


@pytest.mark.parametrize("refresh", [False, True])
def test_workers_that_replace_the_same_slots_at_once_all_succeed(
    tmp_path: Path, refresh: bool
) -> None:
    store = ItemStore(tmp_path, "infer_ir")
    for number in range(20):
        with store.create(f"k{number}") as folder:
            (folder / "item").write_text("other")
        if not refresh:
            rewrite(store.folder / f"k{number}" / "item", "bad")
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    workers = [
        context.Process(
            target=_make_beside_a_damaged_slot, args=(tmp_path, refresh, barrier, results)
        )
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=30) for _ in workers] == [True] * 4
    for worker in workers:
        worker.join(20)
    assert len(list((tmp_path / "infer_ir").iterdir())) == 20, "one slot a key and no leftovers"


def test_what_killed_workers_left_goes_and_a_living_ones_stays(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    worker = context.Process(target=_work_until_killed, args=(tmp_path, ready))
    worker.start()
    assert ready.wait(20) and worker.pid is not None
    folder = tmp_path / "infer_ir"
    (living,) = folder.glob(".tmp-*")
    remove_abandoned(folder, older_than=-1)
    assert (living / "half").read_text() == "half"
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(20)
    ItemStore(tmp_path, "infer_ir")
    assert living.exists(), "too young: its owner might not have locked it yet"
    remove_abandoned(folder, older_than=-1)
    assert not living.exists() and (folder / "finished").is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_may_only_be_read_serves(tmp_path: Path) -> None:
    compute(ItemStore(tmp_path, "s"), "k")
    (tmp_path / "s").chmod(0o555)
    assert ItemStore(tmp_path, "s").get("k") is not None
    with pytest.raises(InputError, match="cannot be written"), ItemStore(tmp_path, "s").create("l"):
        raise AssertionError("not reached")


def test_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRACT_STATE", "/a")
    assert state_root() == Path("/a")
    monkeypatch.delenv("REFRACT_STATE")
    monkeypatch.setenv("DVC_ROOT", "/b")
    assert state_root() == Path("/b/.state")
    monkeypatch.delenv("DVC_ROOT")
    assert state_root() == Path(".state")


def test_unreadable_input_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.png"):
        hash_file(tmp_path / "missing.png")
    with pytest.raises(InputError, match="item store"):
        (tmp_path / "file").touch()
        ItemStore(tmp_path / "file", "s")
