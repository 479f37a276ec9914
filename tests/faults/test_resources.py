"""The short part of what many items and large inputs may take."""

import pytest

from tests.faults import resources
from tests.faults.row import Row

MIB = 1 << 20


@pytest.mark.long
def test_nothing_grows_and_nothing_large_is_held() -> None:
    rows = resources.run(0, long=False)
    assert [row for row in rows if row.losses] == []
    assert [row.count for row in rows] == [60, 1, 1, 1]


def samples(
    memory: list[int], files: int = 0, threads: int = 0, children: int = 0
) -> list[list[int]]:
    """One of each item; files and threads grow by so many over the second half."""
    count = len(memory)
    return [
        [n, memory[n] * MIB, 6 + files * (n > count / 2), 5 + threads * (n > count / 2), children]
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("seen", "faults"),
    [
        (samples([500] * 100), 0),
        (samples([500 + 100 * (n == 85) for n in range(100)]), 0),  # a peak is no growth
        (samples([500 + n // 10 for n in range(100)]), 1),
        (samples([500] * 100, files=5), 1),
        (samples([500] * 100, threads=3), 1),
        (samples([500] * 100, children=1), 1),
        (samples([400 + n for n in range(100)], files=9, threads=9, children=2), 4),
    ],
)
def test_the_judge_sees_growth(seen: list[list[int]], faults: int) -> None:
    assert resources.judged(seen)[1] == faults


def test_what_takes_more_than_it_may_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "measure", lambda *_: [[200 * MIB, 1000]])
    rows: list[Row] = resources._large_inputs(long=False)
    assert [row.losses for row in rows] == [1, 1, 1]
