"""The parts that a long clip is measured in: runs of frames of one shot, never across a cut.

So memory does not grow with a clip's length, and no change of frames is a cut's. A part is measured
as a short clip is, which is one part; see `JOINED` for what becomes of the parts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refract.base.errors import InputError, shorten
from refract.base.files import INFO_NAME
from refract.evaluation.measures.product import ClipSeries, Measured
from refract.evaluation.measures.run_facts import case_facts, read_info

LONGEST_PART = 81  # frames, about what video models are trained on
JOINED = (
    f"each shot in parts as nearly equal as can be, of at most {LONGEST_PART} frames, each "
    "measured as a clip of its own; a clip's value is the mean over its parts weighted by their "
    "frames, parts without a value left out"
)


class Part(NamedTuple):
    """start: first frame in the edited clip. first: the same frame's number in the template."""

    start: int
    frames: int
    first: int


def read_parts(edits: Path, names: Iterable[str]) -> dict[str, tuple[Part, ...]]:
    """Name of a case -> the parts of its shots in their order, by info.json of the edits.

    Raises InputError: a case that does not say which frames its shots are.
    """
    facts = case_facts(read_info(edits), edits)
    return {name: _parts(facts.get(name, {}).get("shots"), name, edits) for name in names}


def _parts(shots: object, name: str, edits: Path) -> tuple[Part, ...]:
    if not isinstance(shots, list) or not shots or not all(map(_is_shot, shots)):
        raise InputError(
            f"{edits / INFO_NAME}: cases.{name}.shots = {shorten(shots)}: must be a list of "
            "{first: 0 or more, frames: 1 or more}, both whole; run flowalign_edit again"
        )
    return tuple(_split(shots))


def _is_shot(shot: Any) -> bool:
    least = {"first": 0, "frames": 1}
    return isinstance(shot, dict) and all(
        type(shot.get(key)) is int and shot[key] >= value for key, value in least.items()
    )


def _split(shots: Sequence[Mapping[str, int]]) -> Iterator[Part]:
    start = 0
    for shot in shots:
        frames, first = shot["frames"], shot["first"]
        count = -(-frames // LONGEST_PART)
        ends = [frames * place // count for place in range(count + 1)]
        for begin, end in pairwise(ends):
            yield Part(start + begin, end - begin, first + begin)
        start += frames


def join(parts: Sequence[Part], measured: Sequence[Measured]) -> Measured:
    """The measures of a clip from those of its parts, by `JOINED`.

    A series of pairs of frames has nan where the pair is of two parts.
    """
    weights = np.array([part.frames for part in parts], np.float64)
    scores = {
        key: _mean([of_part.scores[key] for of_part in measured], weights)
        for key in measured[0].scores
    }
    series: ClipSeries = {}
    for key in measured[0].series:
        values = series[key] = []
        for part, of_part in zip(parts, measured, strict=True):
            values += [float("nan")] * (part.start - len(values)) + of_part.series[key]
    return Measured(scores, series)


def _mean(values: Sequence[float], weights: np.ndarray) -> float:
    """Weighted mean of the finite values; nan where none is."""
    finite = np.isfinite(values)
    if not finite.any():
        return float("nan")
    shares = np.where(finite, weights, 0) / weights[finite].sum()
    return float(np.where(finite, values, 0) @ shares)
