"""Items of a stage divided among processes, launched or forked, each computed by one of them."""

import heapq
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

from refract.pipeline.forked import SharedCounter, forks_items, in_forks
from refract.pipeline.item_store import ItemStore
from refract.pipeline.processes import Processes

_T = TypeVar("_T")


def own_share(
    processes: Processes, works: Sequence[_T], keys: Callable[[_T], Collection[str]]
) -> list[_T]:
    """Of `works`, in their order, those this process shall do.

    keys: the store keys that a work has to compute. See `divide`.
    """
    if processes.count == 1:
        return list(works)
    shares = divide([keys(work) for work in works], processes.count)
    return [works[place] for place in shares[processes.index]]


def compute_items(
    works: Sequence[_T],
    compute: Callable[[_T, Callable[[int], Any]], None],
    store: ItemStore,
    bar: Any,
    load: Callable[[], Any] = lambda: None,
) -> None:
    """`compute` every work into `store`, on the CPU several side by side.

    Works must not share a key (`grouped`). compute: of a work, and what to tell the number of units
    of the bar that are done. load: what all of them need, called before forking so that they share
    it.
    """
    if len(works) < 2 or not forks_items():
        for work in works:
            compute(work, bar.update)
        return
    counter = SharedCounter()
    shown = 0

    def compute_and_count(work: _T) -> int:
        before = store.computed
        compute(work, counter.add)
        return store.computed - before

    def show() -> None:
        nonlocal shown
        done = counter.value
        bar.update(done - shown)
        shown = done

    load()
    for made in in_forks(compute_and_count, works, show):
        store.computed += made
        show()


def grouped(works: Sequence[_T], keys: Callable[[_T], Collection[str]]) -> list[list[_T]]:
    """The works in groups, so that those of two groups share no key; see `own_share`."""
    return [[works[place] for place in group] for group in _connected([*map(keys, works)])]


def in_batches(items: Mapping[str, _T], size: int) -> list[dict[str, _T]]:
    """The items by key in turns of `size`, the last one of what is left."""
    pairs = list(items.items())
    return [dict(pairs[start : start + size]) for start in range(0, len(pairs), size)]


def divide(works: Sequence[Collection[str]], count: int) -> list[list[int]]:
    """Which of `works`, by place, each of `count` processes does; the same in each of them.

    works: the keys each has to compute. Works that share a key go to one process, so that nothing
    is computed twice. Beyond that the processes get as nearly the same number of keys as they do
    by giving the largest group first, and each to the process that has least (Graham's LPT rule:
    no process gets more than 4/3 of what it would at best).
    """
    groups = _connected(works)
    sizes = [len(set().union(*(works[place] for place in group))) for group in groups]
    loads = [(0, process) for process in range(count)]  # a heap
    shares: list[list[int]] = [[] for _ in range(count)]
    for index in sorted(range(len(groups)), key=lambda index: -sizes[index]):
        load, process = loads[0]
        heapq.heapreplace(loads, (load + sizes[index], process))
        shares[process] += groups[index]
    return [sorted(share) for share in shares]


def _connected(works: Sequence[Collection[str]]) -> list[list[int]]:
    """Places of works that share keys, directly or through others, in order of the first."""
    from scipy.cluster.hierarchy import DisjointSet  # slow to import, and one process needs none

    groups = DisjointSet(range(len(works)))
    owner: dict[str, int] = {}
    for place, keys in enumerate(works):
        for key in keys:
            groups.merge(owner.setdefault(key, place), place)
    return sorted(sorted(group) for group in groups.subsets())


def progress_bar(processes: Processes, total: int, name: str, unit: str) -> Any:
    """A bar of this process's own share; of several processes the main one's is shown, and says so.

    total: number of units in the share.
    """
    if processes.count > 1:
        name = f"{name}, process 1 of {processes.count}"
    return tqdm(total=total, desc=name, unit=unit, mininterval=1, disable=not processes.main)
