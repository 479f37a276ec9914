"""What is compared in either half, by the names it has in tables, metrics and on the page."""

import re
from collections.abc import Iterable

RUN = "adapter"  # the infrared pictures that are the result; every other variant is a baseline
CONTROLS = ("shuffled_map", "zero_map")  # the same adapter under a wrong and an empty map

RESULT, PLAIN, SOURCE = "reference", "plain", "source"
CURVE = "s"  # variants s030, s070, ... are the edits at reference strength 0.30, 0.70, ...
# Cheats, made of a case's own clips and photo.
PASTED, PASTED_TRACKED, PASTED_FRAME = "pasted", "pasted_tracked", "pasted_frame"
FROZEN = "frozen"


def strength_key(strength: float) -> str:
    """`s030` for 0.3: `dvc metrics diff` would take a dot in a key for a level."""
    return f"{CURVE}{round(strength * 100):03d}"


_CURVE_POINT = re.compile(rf"{CURVE}(\d{{3,}})")


def curve_strength(variant: str) -> float | None:
    """0.3 for `s030`, an edit of the strength curve; None for any other variant."""
    match = _CURVE_POINT.fullmatch(variant)
    return int(match[1]) / 100 if match else None


def edit_to_freeze(variants: Iterable[str]) -> str:
    """The edit that `frozen` repeats a frame of: the curve's strongest, else the one asked for.

    So a cheat stays what it is when another strength is asked for, as every other baseline does.
    """
    strengths = {variant: curve_strength(variant) or 0.0 for variant in variants}
    strongest = max(strengths, key=strengths.__getitem__, default=RESULT)
    return strongest if strengths.get(strongest) else RESULT
