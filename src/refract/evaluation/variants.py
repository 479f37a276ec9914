"""What is compared in either half, by the names it has in tables, metrics and on the page."""

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
