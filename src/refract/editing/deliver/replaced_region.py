"""Where a shot's edit shall show: wherever it changed its source, steady from frame to frame.

The product that was there and the one that took its place, with their shadows, are all change.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refract.media.regions import BoolArray, changed_parts, grow, pixel_change, shrink
from refract.media.video_io import read_frames

_MOST_CELLS = 120  # along the shorter side: what is kept of each frame is small
_LEAST_PART = 0.05  # of the largest part's size: smaller ones are the autoencoder's
_SLIT = 3  # cells that a gap between two parts is deep at most: the old product would show in it
_STEADY = 2  # frames before and after whose change counts too


class EditedShot(NamedTuple):
    """One shot that was edited.

    first: its place among the template's frames. source, edit: lossless clips, at the edit's size,
    of what the edit saw and of what came out, frame by frame.
    """

    first: int
    source: Path
    edit: Path


def changed_regions(shot: EditedShot) -> Iterator[BoolArray]:
    """The region [h, w] of each frame of a shot, at the edit's size.

    Read off coarse maps of the whole shot, which are all that is held of it.
    """
    from scipy.ndimage import binary_fill_holes

    maps, cell, shape = _coarse_change(shot)
    parts = changed_parts(maps)
    kept = np.zeros(maps.shape, bool) if parts is None else parts.of_share(_LEAST_PART)
    for place in range(len(kept)):
        near: BoolArray = kept[max(place - _STEADY, 0) : place + _STEADY + 1].max(0)
        near = binary_fill_holes(shrink(grow(near, _SLIT), _SLIT))
        yield near.repeat(cell, 0).repeat(cell, 1)[: shape[0], : shape[1]]


def _coarse_change(shot: EditedShot) -> tuple[NDArray[np.uint8], int, tuple[int, int]]:
    """The greatest change in each square cell of each frame, the cell's side and frames' shape."""
    from skimage.measure import block_reduce

    maps: list[NDArray[np.uint8]] = []
    cell, shape = 1, (0, 0)
    for source, edit in zip(read_frames(shot.source), read_frames(shot.edit), strict=True):
        change = pixel_change(edit.pixels, source.pixels)
        shape = change.shape
        cell = -(-min(shape) // _MOST_CELLS)
        maps.append(np.ceil(block_reduce(change, cell, np.max)).astype(np.uint8))
    return np.stack(maps), cell, shape
