"""Gray values of the model as whole levels of a picture, with one scaling for every picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Levels = NDArray[np.unsignedinteger[Any]]

DEPTHS: dict[int, type[np.unsignedinteger[Any]]] = {8: np.uint8, 16: np.uint16}  # by bits a pixel


def quantise(gray: Tensor, bits: int) -> Levels:
    """Gray values of any shape in [-1, 1] to 0 .. 2^bits - 1, rounded and clipped.

    level = (gray + 1) / 2 * (2^bits - 1); bits is 8 or 16. Nothing is stretched to the picture's
    own range, so that equal temperatures stay equal between pictures.
    """
    top = 2**bits - 1
    levels = ((gray.float() + 1) * (top / 2)).round().clamp(0, top)
    return levels.int().cpu().numpy().astype(DEPTHS[bits])


def scaling(bits: int) -> str:
    """The scaling of `quantise` in words, for the record beside the pictures."""
    return f"level = (gray + 1) / 2 * {2**bits - 1}, gray in [-1, 1]"
