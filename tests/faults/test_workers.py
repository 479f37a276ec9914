"""The short version of the area: see `tests.faults.workers`."""

import pytest

from tests.faults import workers


@pytest.mark.long
def test_workers_on_one_store_neither_spoil_it_nor_train_twice() -> None:
    rows = workers.run(seed=0, long=False)
    assert sum(row.losses for row in rows) == 0, rows
    assert [row.count for row in rows] == [160, 2, 2]
