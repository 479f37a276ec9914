"""What the compared variants are called on the page, and in which colour they are drawn."""

from refract.evaluation.variants import PLAIN, RESULT, RUN, SOURCE, curve_strength

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


def variant_label(variant: str) -> str:
    """A name for people: known ones by what they are, others by their own name."""
    strength = curve_strength(variant)
    if strength is not None:
        return f"Strength {strength:g}"
    return _LABELS.get(variant) or variant.replace("_", " ").replace(".", ": ").capitalize()


def variant_colour(variant: str) -> str:
    """Suffix of the style class: result, plain, source or other."""
    return _COLOURS.get(variant, "other")
