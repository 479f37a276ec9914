"""Does the product move as the source does, judged where the product is seen?"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refract.evaluation.measures.image import to_unit
from refract.evaluation.measures.motion import ROUNDING_ERROR, STILL_PX
from refract.evaluation.measures.optical_flow import Flow, Mask, warp
from refract.evaluation.measures.product import Frames, Measured, RegionMask
from refract.media.regions import grow

MOTION_KEY = "product.motion_agreement"
OUTLINE_PX = 1  # around the product: a plain one's motion shows at its outline alone

Errors = NDArray[np.float64]  # [3, T-1]: squared errors without and with the flow, and their count


@dataclass(frozen=True)
class ProductMotion:
    """flows `[T-1, H, W, 2]` and hidden pixels `[T-1, H, W]` of a source; region `[T, H, W]`."""

    source: Frames
    flows: Flow
    hidden: Mask
    region: RegionMask

    def measures(self, clip: Frames, product: RegionMask) -> Measured:
        """`product.motion_agreement`: which explains the clip better, the source's motion or none?

        (S + n) / (S + M + 2 n), where S is the mean squared error of each frame against the next
        as it is, M against the next one warped back by the source's flow, and n the source's own
        M, the noise of the flow. Over what was found of the product, `[T, H, W]`, inside the
        region, and `OUTLINE_PX` around it: the old product's remains move as they always did.

        1 is a product that moves with the source, 0 one that stands still or goes elsewhere; 0.5
        says that neither explains it better, as of a plain ball that turns. nan where no product
        is found, and where the source's region moves less than `STILL_PX` a frame.

        Blind to how much of the product is there: `product.shape_iou` says that.
        """
        if not self._moves:
            nothing = [float("nan")] * len(self.flows)
            return Measured({MOTION_KEY: float("nan")}, {MOTION_KEY: nothing})
        errors = self._errors(clip, product & self.region)
        series = [_agreement(pair, self._noise) for pair in errors.T]
        return Measured({MOTION_KEY: _agreement(errors.sum(1), self._noise)}, {MOTION_KEY: series})

    def _errors(self, clip: Frames, where: RegionMask) -> Errors:
        frames, seen = to_unit(clip), grow(where[:-1], OUTLINE_PX) & ~self.hidden
        errors = np.zeros((3, len(self.flows)))
        for index, (flow, mask) in enumerate(zip(self.flows, seen, strict=True)):
            now, following = frames[index], frames[index + 1]
            for row, expected in enumerate((following, warp(following, flow)[0])):
                squared = np.square(now - expected, dtype=np.float64)[mask]
                errors[row, index], errors[2, index] = squared.sum(), squared.size
        return errors

    @cached_property
    def _moves(self) -> bool:
        speeds = np.linalg.norm(self.flows, axis=-1)[self.region[:-1]]
        return bool(speeds.size) and float(speeds.mean(dtype=np.float64)) >= STILL_PX

    @cached_property
    def _noise(self) -> float:
        """The source's own error under its flow, in the region; at least that of rounding."""
        _, moved, count = self._errors(self.source, self.region).sum(1)
        return max(moved / count if count else 0.0, ROUNDING_ERROR)


def _agreement(errors: NDArray[np.float64], noise: float) -> float:
    """The agreement of summed errors without and with the flow, and their count, `[3]`."""
    if errors[2] == 0:
        return float("nan")
    still, moved = errors[:2] / errors[2]
    return float((still + noise) / (still + moved + 2 * noise))
