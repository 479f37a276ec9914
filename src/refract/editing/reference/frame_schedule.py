"""A strength that varies smoothly over the frames of a clip, against flicker and lost motion."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

# "constant", or factors; a Literal would not pass through a settings section unchanged
FrameSchedule = str | Sequence[float]


def frame_factors(schedule: FrameSchedule, frames: int) -> Tensor | None:
    """Factor of the strength in each latent frame, (frames,) float32; None where all are 1.

    Args:
        schedule: "constant", or two or more factors, spread evenly from the first frame to the
            last. Between them runs a monotone cubic (Fritsch and Carlson, 1980), which has no
            kinks and does not leave the range of its neighbours.
    Raises ValueError for another word.
    """
    if isinstance(schedule, str) and schedule != "constant":
        raise ValueError(f"schedule {schedule!r}: must be constant or a list of factors")
    if isinstance(schedule, str) or all(factor == 1 for factor in schedule):
        return None
    knots = np.linspace(0, 1, len(schedule))
    curve = PchipInterpolator(knots, np.asarray(schedule, np.float64))
    places = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    return torch.from_numpy(curve(places)).float()
