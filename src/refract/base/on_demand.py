"""Sequences and mappings whose items are made when they are asked for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Generic, TypeVar, overload

_T = TypeVar("_T")
_KEPT = 2  # the last ones, for several look at one item before they go on to the next


class OnDemand(Sequence[_T], Generic[_T]):
    """`make(place)` for each place: a set of any size takes the room of a few of its items."""

    def __init__(self, count: int, make: Callable[[int], _T]) -> None:
        self._count = count
        self._make = lru_cache(_KEPT)(make)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> _T: ...

    @overload
    def __getitem__(self, place: slice) -> list[_T]: ...

    def __getitem__(self, place: int | slice) -> _T | list[_T]:
        if isinstance(place, slice):
            return [self._make(index) for index in range(self._count)[place]]
        return self._make(range(self._count)[place])


class OnDemandMapping(Mapping[str, _T]):
    """The value of each name, by its own maker; the last ones are kept."""

    def __init__(self, makers: Mapping[str, Callable[[], _T]]) -> None:
        self._makers = makers
        self._make = lru_cache(_KEPT)(lambda name: makers[name]())

    def __len__(self) -> int:
        return len(self._makers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __contains__(self, name: object) -> bool:
        return name in self._makers  # Mapping would make it

    def __getitem__(self, name: str) -> _T:
        return self._make(name)
