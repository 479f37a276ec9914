"""What the compared variants are called on the page, and in which colour they are drawn."""

import re

from refract.evaluation.variants import CURVE, PLAIN, RESULT, RUN, SOURCE

_LABELS = {
    RUN: "Output",
    "shuffled_map": "Wrong map",
    "zero_map": "Empty map",
    SOURCE: "Source",
    PLAIN: "Plain edit",
    RESULT: "With reference",
    "sdedit": "SDEdit",
    "flowedit": "FlowEdit",
    "vace": "VACE",
}
_COLOURS = {RUN: "result", RESULT: "result", PLAIN: "plain", SOURCE: "source"}
_CURVE_POINT = re.compile(rf"{CURVE}(\d{{3,}})")


def curve_strength(variant: str) -> float | None:
    """0.3 for `s030`, an edit of the strength curve; None for any other variant."""
    match = _CURVE_POINT.fullmatch(variant)
    return int(match[1]) / 100 if match else None


def variant_label(variant: str) -> str:
    """A name for people: known ones by what they are, others by their own name."""
    strength = curve_strength(variant)
    if strength is not None:
        return f"Strength {strength:g}"
    return _LABELS.get(variant) or variant.replace("_", " ").replace(".", ": ").capitalize()


def variant_colour(variant: str) -> str:
    """Suffix of the style class: result, plain, source or other."""
    return _COLOURS.get(variant, "other")
