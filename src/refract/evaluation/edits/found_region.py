"""Where an edit by the prompts alone changed its source: the product's region without masks."""

import numpy as np

from refract.evaluation.measures.product import Frames, RegionMask
from refract.media.regions import CHANGE, changed_parts, pixel_change

FOUND_METHOD = (
    f"where the plain edit changed its source: {CHANGE} (scikit-image), largest part in space and "
    "time, holes filled"
)
_MOST = 0.5  # of the clip: an edit that changed more has no place


def changed_region(plain: Frames, source: Frames) -> RegionMask | None:
    """The region `[T, H, W]` by `FOUND_METHOD`; None where there is none, or half of the clip.

    The plain edit knows neither the product's photo nor the clip that is judged, so that none of
    these draws its own target.
    """
    changes = [pixel_change(*pair) for pair in zip(plain, source, strict=True)]
    parts = changed_parts(np.stack(changes))
    if parts is None:
        return None
    region = parts.of_share(1.0)
    return region if region.mean() <= _MOST else None
