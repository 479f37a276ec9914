import pytest

from refract.base.on_demand import OnDemand


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
