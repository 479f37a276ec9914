"""What is wanted of the full models on a GPU, each told as met, missed or not measured here."""

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.full_scale_run import OUT_OF_MEMORY, Row
from benchmarks.full_scale_training import STEP as TRAINING_STEP
from benchmarks.full_scale_video import EDIT, EDIT_BANK, POINT

MET, MISSED, NOT_MEASURED = "met", "missed", "not measured here"
PLAIN = "none"  # the options of a row without any
_BANK, _POINT, _SECONDS = 1.08, 0.70, 20.0
_BIG, _SMALL = 80e9, 24e9  # bytes


class Target(NamedTuple):
    """found: the figure with its row, or why there is none."""

    wanted: str
    verdict: str
    found: str


def targets(rows: Sequence[Row], shortfall: str, quantised: str) -> list[Target]:
    """The acceptance of the full scale, for each model that was measured.

    shortfall: why figures of this run say nothing of it (no GPU, fewer layers, smaller clips);
    empty where they do. quantised: the name of the option that quantises the base.
    """
    plain = [row for row in rows if row.options == PLAIN]
    found = [
        _of_ratio("edit with bank at most 1.08 of the plain edit", plain, EDIT_BANK, _BANK),
        _of_ratio("sweep point at most 0.70 of the first edit", plain, POINT, _POINT),
        _of_seconds(plain),
        _of_memory("training step at batch 1 within 80 GB", plain, _BIG),
        _of_memory(
            "training step at batch 1 within 24 GB, base quantised",
            [row for row in rows if f"{quantised}=" in row.options],
            _SMALL,
        ),
    ]
    if not shortfall:
        return found
    return [Target(target.wanted, NOT_MEASURED, shortfall) for target in found]


def target_lines(found: Sequence[Target]) -> str:
    """A line each; what all have in common is told once, behind them."""
    reasons = {target.found for target in found}
    common = len(reasons) == 1
    lines = [
        f"- {target.wanted}: **{target.verdict}**" + ("" if common else f" ({target.found})")
        for target in found
    ]
    return "\n".join([*lines, *(f"\nAll of them: {reason}." for reason in reasons if common)])


def _of_ratio(wanted: str, rows: Sequence[Row], what: str, limit: float) -> Target:
    values = [(row.half, row.ratio) for row in rows if row.what == what and row.ratio is not None]
    words = ", ".join(f"{half} {ratio:.3f}" for half, ratio in values)
    return _target(wanted, [ratio <= limit for _, ratio in values], words, rows, what)


def _of_seconds(rows: Sequence[Row]) -> Target:
    wanted = "edit of 35 steps within 20 s, without caches"
    values = [(row.half, row.seconds) for row in rows if row.what == EDIT and row.seconds]
    words = ", ".join(f"{half} {seconds:.1f} s" for half, seconds in values)
    return _target(wanted, [seconds <= _SECONDS for _, seconds in values], words, rows, EDIT)


def _of_memory(wanted: str, rows: Sequence[Row], limit: float) -> Target:
    own = [row for row in rows if row.what.startswith(TRAINING_STEP)]
    values = [row.peak for row in own if row.peak]
    words = ", ".join(f"{peak / 1e9:.1f} GB" for peak in values)
    return _target(wanted, [peak <= limit for peak in values], words, own, TRAINING_STEP)


def _target(wanted: str, met: Sequence[bool], words: str, rows: Sequence[Row], what: str) -> Target:
    if any(row.how == OUT_OF_MEMORY for row in rows if row.what.startswith(what)):
        return Target(wanted, MISSED, OUT_OF_MEMORY)
    if not met:
        return Target(wanted, NOT_MEASURED, "no such row")
    return Target(wanted, MET if all(met) else MISSED, words)
