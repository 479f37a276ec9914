"""Product photos as any browser shows them: equal bytes for equal pixels."""

from pathlib import Path

import numpy as np
from PIL import Image

from refract.base.atomic import write_atomic
from refract.media.image_reading import on_white, open_photo

_MOST_PX = 640


def write_photo(photo: Path, path: Path) -> None:
    """Write a product photo as PNG: upright, transparency on white, at most 640 pixels a side.

    Nothing of the file but its pixels is kept. Raises InputError for an unreadable picture.
    """
    flat, _ = on_white(open_photo(photo, _MOST_PX).image)
    clean = Image.fromarray(np.asarray(flat))
    write_atomic(path, lambda temporary: clean.save(temporary, format="PNG"))
