"""The short version of the area: see `tests.faults.storage`."""

import os
from pathlib import Path

import pytest

from tests.faults import storage
from tests.faults.tiny_disk import can_mount


@pytest.mark.long
def test_full_disks_and_damaged_stores_cost_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "REFRACT_THREADS", "1")
    rows = storage.run(seed=0, long=False)
    assert sum(row.losses for row in rows) == 0, rows
    counts = {row.tried: row.count for row in rows}
    disks = {tried: count for tried, count in counts.items() if tried.startswith("the disk of")}
    assert sum(disks.values()) == (8 if can_mount(tmp_path) else 0)
    assert sum(counts.values()) - sum(disks.values()) == 2 + 3 + 3 + 2 + 3
