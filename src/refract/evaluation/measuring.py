"""Items measured into the store, on the CPU several side by side."""

from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from refract.pipeline.item_store import ItemStore
from refract.pipeline.shared_items import compute_items


def measure_side_by_side(
    measure: Callable[[int], object], count: int, store: ItemStore, name: str
) -> None:
    """Call `measure` with each place below `count`; it puts what is missing into the store.

    The first one is measured here, so that forked processes share what it imports and loads.
    """
    with tqdm(total=count, desc=name, unit="item", mininterval=1, disable=not count) as bar:

        def compute(place: int, done: Callable[[int], Any]) -> None:
            measure(place)
            done(1)

        compute_items(range(count), compute, store, bar, lambda: measure(0))
