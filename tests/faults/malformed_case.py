"""One malformed input: how it is made, which stage gets it, and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tests.tiny.world import World


class Refused(NamedTuple):
    """Exit code 2 and one line.

    names: each must be in the line, and be the file or key at fault. allowed: the part of the
    line that says what would be right.
    """

    names: tuple[str, ...]
    allowed: str


class Handled(NamedTuple):
    """Exit code 0 and the documented result. check: raises AssertionError where it is not there.

    said: what a log line must tell of it; empty where nothing needs to be told.
    """

    check: Callable[[World], None]
    said: str = ""


@dataclass(frozen=True)
class Case:
    """kind: the row of the table it counts in. fault: what is wrong, in words.

    make: damages a world of its own. empty_store: whether the stage finds none of the items of
    the sound run, as it must where a damaged model would otherwise not be loaded at all.
    """

    kind: str
    fault: str
    stage: str
    make: Callable[[World], object]
    expected: Refused | Handled
    empty_store: bool = False


def refused(*names: str, allowed: str) -> Refused:
    """A shorter way to write it."""
    return Refused(names, allowed)
