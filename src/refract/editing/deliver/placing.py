"""An edited frame back in the place of the template's frame that it was cut from."""

from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Placement(NamedTuple):
    """Of a template's frame the part that an edit saw: scaled to cover it, cropped at the centre.

    frame, edit: (width, height). left, top: of the part in the template's frame, pixels. scale:
    the template's pixels an edit's pixel.
    """

    frame: tuple[int, int]
    edit: tuple[int, int]
    left: float
    top: float
    scale: float

    @classmethod
    def of(cls, frame: tuple[int, int], edit: tuple[int, int]) -> "Placement":
        """As `video_io.fit_frame` cuts a frame."""
        scale = min(frame[0] / edit[0], frame[1] / edit[1])
        left, top = ((frame[axis] - edit[axis] * scale) / 2 for axis in (0, 1))
        return cls(frame, edit, left, top, scale)

    def back(self, picture: NDArray[np.uint8], resampling: Image.Resampling) -> NDArray[np.uint8]:
        """A picture `[h, w, ...]` of the edit's shape on the template's frame `[H, W, ...]`.

        Beyond the part that was edited its border is repeated.
        """
        (left, right), (top, bottom) = self._span(0), self._span(1)
        box = (self._seen(0, left), self._seen(1, top), self._seen(0, right), self._seen(1, bottom))
        part = Image.fromarray(picture).resize((right - left, bottom - top), resampling, box)
        width, height = self.frame
        beyond = [(top, height - bottom), (left, width - right)] + [(0, 0)] * (picture.ndim - 2)
        return np.pad(np.asarray(part), beyond, mode="edge")

    def inside(self, feather_px: float) -> NDArray[np.float32]:
        """1 in the edited part, 0 beyond it, rising over `feather_px` from where it is cut off.

        `[H, W]`; an edge that is the frame's own is not faded.
        """
        columns, rows = (self._ramp(axis, feather_px) for axis in (0, 1))
        return np.minimum(rows[:, None], columns[None])

    def _span(self, axis: int) -> tuple[int, int]:
        """The whole pixels of the part along an axis: first, and one behind the last."""
        start = (self.left, self.top)[axis]
        end = start + self.edit[axis] * self.scale
        return ceil(start - 1e-6), floor(end + 1e-6)

    def _seen(self, axis: int, place: int) -> float:
        """Where in the edit a place of the template lies along an axis."""
        seen = (place - (self.left, self.top)[axis]) / self.scale
        return min(max(seen, 0.0), float(self.edit[axis]))

    def _ramp(self, axis: int, feather_px: float) -> NDArray[np.float32]:
        first, end = self._span(axis)
        place = np.arange(self.frame[axis])
        depth = np.minimum(place - first, end - 1 - place) + 1.0
        if (first, end) == (0, self.frame[axis]):
            return np.ones(len(place), np.float32)
        return np.clip(depth / max(feather_px, 1.0), 0, 1).astype(np.float32)
