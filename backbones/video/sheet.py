"""Image sheets: rows of frames side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def write_sheet(rows: Sequence[Sequence[NDArray[np.floating]]], path: Path) -> None:
    """Rows of equally many (h, w, 3) frames in 0..1, a black line between them."""
    lines = []
    for row in rows:
        framed = [np.pad(np.clip(frame, 0, 1), ((1, 1), (1, 1), (0, 0))) for frame in row]
        lines.append(np.concatenate(framed, axis=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.concatenate(lines) * 255).astype(np.uint8)).save(path)
