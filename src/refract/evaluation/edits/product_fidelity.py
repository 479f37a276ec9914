"""One figure for the product of an edit: its colours, its place and shape, and its motion."""

from math import isfinite
from statistics import harmonic_mean

from refract.evaluation.measures.product_motion import MOTION_KEY
from refract.evaluation.measures.product_shape import SHAPE_KEY

FIDELITY_KEY = "product.fidelity"
FOUND_KEY = "product.fidelity_found"  # by a region that was found, not given
PARTS = ("product.histogram_overlap", SHAPE_KEY, MOTION_KEY)  # each 0 to 1, more is better


def fidelity(scores: dict[str, float]) -> float:
    """`product.fidelity`, the harmonic mean of `PARTS`, of scores that hold the first two of them.

    Each part alone can be had cheaply: the photo on every frame has the right colours, the
    source unchanged has the right motion, a frozen edit stands where the edit began. A harmonic
    mean is at most three times its least part, so that no cheat is rewarded for the part it gets
    right. It rates the product alone: what else changed, `background.*` says.

    A product of the right look cannot be told from a photo of it that is laid down in the right
    place, scale and pose in every frame; nor should it be.

    Without motion to follow it is the mean of the other two; nan where one of those is.
    """
    *needed, motion = (scores.get(part, float("nan")) for part in PARTS)
    if not all(map(isfinite, needed)):
        return float("nan")
    return harmonic_mean([*needed, motion] if isfinite(motion) else needed)
