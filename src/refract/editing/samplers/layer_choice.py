"""Which self-attention layers see the reference."""

import re
from collections.abc import Iterable

from refract.base.errors import InputError

_THIRDS = {"all": (0.0, 1.0), "middle": (1 / 3, 2 / 3), "deep": (2 / 3, 1.0)}
_RANGE = re.compile(r"(\d{1,4})-(\d{1,4})")


def chosen_layers(
    choice: str | Iterable[int], depth: int, key: str = "ref_layers"
) -> frozenset[int]:
    """Layer indices, counted from 0, that a choice stands for in a model of `depth` layers.

    Args:
        choice: all, middle or deep (thirds of the depth: 10-20 and 20-30 of the 30 layers of
            Wan2.1-1.3B), a range such as "10-20" with the end left out, or indices.
        key: the setting, for errors.
    Raises InputError, stating the depth, for another name and for layers out of range.
    """
    if isinstance(choice, str):
        span = _RANGE.fullmatch(choice)
        if choice in _THIRDS:
            start, stop = (round(depth * share) for share in _THIRDS[choice])
        elif span:
            start, stop = int(span[1]), int(span[2])
        else:
            raise _out_of_range(key, choice, depth)
        if not 0 <= start < stop <= depth:
            raise _out_of_range(key, choice, depth)
        return frozenset(range(start, stop))
    layers = list(choice)
    if not all(type(layer) is int and 0 <= layer < depth for layer in layers):
        raise _out_of_range(key, layers, depth)
    return frozenset(layers)


def _out_of_range(key: str, choice: object, depth: int) -> InputError:
    return InputError(
        f"{key} = {choice}: this model has {depth} layers; must be all, middle, deep, a range "
        f"such as 0-{depth} (end left out) or a list of indices from 0 to {depth - 1}"
    )
