from functools import partial

import pytest

from refract.base.on_demand import OnDemand, OnDemandMapping


def test_items_are_made_when_asked_for_and_few_are_kept() -> None:
    made: list[int] = []

    def make(place: int) -> int:
        made.append(place)
        return 10 * place

    items = OnDemand(5, make)
    assert made == [] and len(items) == 5
    assert items[3] == items[3] == 30 and made == [3]
    assert items[-1] == 40 and items[1:3] == [10, 20]
    assert items[3] == 30 and made == [3, 4, 1, 2, 3]
    assert list(items) == [0, 10, 20, 30, 40]
    with pytest.raises(IndexError):
        items[5]


def test_a_mapping_makes_no_value_before_it_is_asked_for() -> None:
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    clips = OnDemandMapping({name: partial(make, name) for name in "abc"})
    assert list(clips) == ["a", "b", "c"] and "b" in clips and "d" not in clips and made == []
    assert clips["b"] == clips["b"] == "B" and made == ["b"]
    assert dict(clips) == {"a": "A", "b": "B", "c": "C"} and made == ["b", "a", "c"]
    with pytest.raises(KeyError):
        clips["d"]
