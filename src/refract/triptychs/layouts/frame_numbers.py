"""Video sequences of frames that have nothing but a number to tell them by."""

import re
from collections.abc import Sequence
from dataclasses import replace

from refract.triptychs.layouts.pairing import RawItem

FRAME_GAP = 100  # numbers; frames further apart than this are taken to be of different scenes
LONGEST = 100  # numbers; where a data set is numbered through, a run is cut after so many

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")


def number_sequences(items: Sequence[RawItem], *, longest: int | None = None) -> list[RawItem]:
    """The items with a run of near frame numbers as one sequence, named by its first item.

    Frames of one sequence share the data set's own split and the id around the number, and are at
    most `FRAME_GAP` numbers from the next one. With `longest` a run is cut into stretches of so
    many numbers: neighbours across a cut may then be alike, but everything else of a drive stays
    together, and there is more than one sequence to split. An id without a number is a sequence
    of its own.
    """
    numbered: list[RawItem] = []
    home, last, first = ("", "", ""), 0, 0
    for item in sorted(items, key=_place):
        *sequence, number = _place(item)
        here = (sequence[0], sequence[1], sequence[2])
        near = numbered and here == home and number - last <= FRAME_GAP
        if near and (longest is None or number - first < longest):
            numbered.append(replace(item, sequence=numbered[-1].sequence))
        else:
            numbered.append(replace(item, sequence=item.id))
            first = number
        home, last = here, number
    return numbered


def _place(item: RawItem) -> tuple[str, str, str, int]:
    """Own split, id before and after the number, number."""
    match = _NUMBERED.fullmatch(item.id)
    before, number, after = match.groups() if match else (item.id, "0", "")
    return item.split or "", before, after, int(number)
