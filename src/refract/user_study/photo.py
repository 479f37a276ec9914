"""Product photos as any browser shows them: equal bytes for equal pixels."""

from pathlib import Path

import numpy as np
from PIL import Image

from refract.base.atomic import write_atomic
from refract.base.errors import InputError
from refract.media.image_reading import open_upright

_MOST_PX = 640


def write_photo(photo: Path, path: Path) -> None:
    """Write a product photo as PNG: upright, transparency on white, at most 640 pixels a side.

    Nothing of the file but its pixels is kept. Raises InputError for an unreadable picture.
    """
    image = open_upright(photo)
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{photo}: mode {image.mode}; an 8-bit colour or gray picture is needed")
    rgba = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    flat.thumbnail((_MOST_PX, _MOST_PX), Image.Resampling.LANCZOS)
    clean = Image.fromarray(np.asarray(flat))
    write_atomic(path, lambda temporary: clean.save(temporary, format="PNG"))
