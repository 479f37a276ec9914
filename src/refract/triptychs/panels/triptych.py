"""The triptych [visible | infrared | semantic]: three square panels side by side."""

from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from refract.base.errors import InputError

PANELS = 3

Panel = TypeVar("Panel", Image.Image, NDArray[np.uint8], Tensor)


class Triptych(NamedTuple, Generic[Panel]):
    """The panels, each of the kind that was split."""

    visible: Panel
    infrared: Panel
    semantic: Panel


def _height_width(picture: Image.Image | NDArray[np.uint8] | Tensor) -> tuple[int, int]:
    if isinstance(picture, Image.Image):
        return picture.height, picture.width
    if isinstance(picture, Tensor):  # [..., H, W]
        return int(picture.shape[-2]), int(picture.shape[-1])
    return int(picture.shape[0]), int(picture.shape[1])  # [H, W] or [H, W, C]


def _columns(picture: Panel, left: int, right: int) -> Panel:
    if isinstance(picture, Image.Image):
        return picture.crop((left, 0, right, picture.height))
    if isinstance(picture, Tensor):
        return picture[..., left:right]
    return picture[:, left:right]


def split_triptych(
    picture: Panel, *, name: str = "triptych", panel_px: int | None = None
) -> Triptych[Panel]:
    """Split a triptych into its three square panels.

    `picture` is a PIL image, an array [H, W] or [H, W, C], or a tensor [..., H, W]; the panels
    are of the same kind. `name` is the file that errors name. With `panel_px` the panels must
    have exactly that side.

    Raises InputError when the picture is not three squares side by side.
    """
    height, width = _height_width(picture)
    side = height if panel_px is None else panel_px
    if height < 1 or (height, width) != (side, PANELS * side):
        raise InputError(
            f"{name}: found {width} x {height} pixels, expected {PANELS * side} x {side} "
            "(three square panels: visible, infrared, semantic)"
        )
    return Triptych(*(_columns(picture, i * side, (i + 1) * side) for i in range(PANELS)))


def join_triptych(
    visible: NDArray[np.uint8], infrared: NDArray[np.uint8], semantic: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Join panels [P, P, 3], [P, P] and [P, P, 3] into one triptych [P, 3P, 3]."""
    gray = np.repeat(infrared[..., None], 3, axis=-1)
    return np.concatenate([visible, gray, semantic], axis=1)
