import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refract.base.errors import InputError
from refract.pipeline.item_store import ItemStore
from refract.pipeline.store import find_slots, parse_amount, prune

DAY = 86400


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Three slots of 100 bytes of content, last used 1, 10 and 40 days ago."""
    store = ItemStore(tmp_path, "infer_ir")
    for days in (1, 10, 40):
        with store.create(f"day{days}") as folder:
            (folder / "item").write_bytes(bytes(100))
        used = time.time() - days * DAY
        os.utime(store.folder / f"day{days}", (used, used))
    return tmp_path


def names(root: Path) -> list[str]:
    return [slot.path.name for slot in find_slots(root)]


def test_slots_come_least_recently_used_first(state: Path) -> None:
    assert names(state) == ["day40", "day10", "day1"]


def test_serving_a_slot_makes_it_recent(state: Path) -> None:
    assert ItemStore(state, "infer_ir").get("day40") is not None
    assert names(state)[-1] == "day40"


def test_prune_by_age(state: Path) -> None:
    assert [slot.path.name for slot in prune(state, 30 * DAY, None)] == ["day40"]
    assert names(state) == ["day10", "day1"]


def test_prune_by_total_removes_the_least_recent(state: Path) -> None:
    held = find_slots(state)[0].bytes
    assert [slot.path.name for slot in prune(state, None, 2 * held)] == ["day40"]
    assert [slot.path.name for slot in prune(state, None, 0)] == ["day10", "day1"]


def test_prune_by_both(state: Path) -> None:
    held = find_slots(state)[0].bytes
    prune(state, 30 * DAY, held)
    assert names(state) == ["day1"]


def test_prune_clears_what_killed_workers_left_but_no_living_one(state: Path) -> None:
    dead, living = (state / "infer_ir" / f".tmp-{name}" for name in ("dead", "living"))
    dead.mkdir()
    living.mkdir()
    os.utime(dead, (time.time() - 2 * DAY,) * 2)
    prune(state, 100 * DAY, None)
    assert not dead.exists() and living.exists()
    assert len(names(state)) == 3


def test_amounts() -> None:
    units = {"": 1, "K": 1024}
    assert parse_amount("3K", units, "--max-bytes") == 3072
    assert parse_amount("7", units, "--max-bytes") == 7
    for text in ("3X", "-1K", "", "1.5K", "K"):
        with pytest.raises(InputError, match="--max-bytes"):
            parse_amount(text, units, "--max-bytes")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "refract.pipeline.store", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_line(state: Path) -> None:
    root = ("--root", str(state))
    assert "3 slots" in run(*root, "list").stdout
    assert run(*root, "verify").returncode == 0
    assert "removed 1 slots" in run(*root, "prune", "--older-than", "30d").stdout
    item = state / "infer_ir" / "day1" / "item"
    item.chmod(0o644)
    item.write_bytes(b"1" * 100)
    verified = run(*root, "verify")
    assert verified.returncode == 1 and "day1" in verified.stdout
    nothing = run(*root, "prune")
    assert nothing.returncode == 2 and "--older-than" in nothing.stderr
