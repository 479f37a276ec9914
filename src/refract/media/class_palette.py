"""Label files of named class ids as colour maps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.media.image_reading import class_colours, open_upright, read_stored_rgb


@dataclass(frozen=True)
class ClassPalette:
    """Classes by id, in the colours that any map of class ids gets here (`class_colours`).

    One scheme for all data sets: a map of ids given to an adapter later looks as in its training.
    """

    names: tuple[str, ...]

    def as_dict(self) -> dict[str, list[int]]:
        """RGB colours, 0 to 255, by class name."""
        colours = class_colours()[: len(self.names)].tolist()
        return dict(zip(self.names, colours, strict=True))


# unlabelled (0, 0, 0), car (128, 0, 0), person (0, 128, 0), bike (128, 128, 0), curve (0, 0, 128),
# car_stop (128, 0, 128), guardrail (0, 128, 128), color_cone (128, 128, 128), bump (64, 0, 0)
MSRS_PALETTE = ClassPalette(
    (
        "unlabelled", "car", "person", "bike", "curve", "car_stop", "guardrail", "color_cone",
        "bump",
    )
)  # fmt: skip


def read_labels(path: Path, palette: ClassPalette) -> NDArray[np.uint8]:
    """A file of class ids as colours [H, W, 3].

    The ids are single-channel, indices of a palette file (whose own colours do not count), or
    repeated in three channels.

    Raises InputError for an unreadable file, colours, and an id without a class.
    """
    image = open_upright(path)
    last = len(palette.names) - 1
    expected = f"expected class ids 0 ({palette.names[0]}) to {last} ({palette.names[last]})"
    if image.mode in ("1", "L", "P") or image.mode.startswith("I"):
        ids = np.asarray(image).astype(np.int64)
    else:
        channels = read_stored_rgb(path)
        if np.ptp(channels, axis=-1).any():
            raise InputError(f"{path}: found colours, {expected}")
        ids = channels[..., 0].astype(np.int64)
    if ids.min() < 0 or ids.max() > last:
        raise InputError(f"{path}: found ids {ids.min()} to {ids.max()}, {expected}")
    return class_colours()[ids]
