"""Which class each pixel of a semantic colour map shows, though instances are shaded.

Three ways, the first that applies: the data set's own palette; the colours of Cityscapes, where
every colour of the maps is near one of them; else the colours that lie together form a class,
named after the commonest of them (`#804080`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from refract.base.errors import InputError
from refract.base.files import INFO_NAME
from refract.evaluation.measures.colour import packed, unpacked
from refract.evaluation.measures.run_facts import read_info
from refract.media.segment_colours import CITYSCAPES

ColourMap = NDArray[np.uint8]  # [H, W, 3]
Palette = Mapping[str, Sequence[int]]  # class name -> RGB, 0..255

PALETTE_KEY = "semantic_palette"  # of a data set's info.json
_SHADE = 18.0  # levels, Euclidean: furthest shade that `segment_colours` gives an instance
# Shades of one class lie a few levels apart, classes some dozens: cells of 16 levels that touch
# belong to one class.
_CELL_BITS = 4
_CELLS = 256 >> _CELL_BITS


@dataclass(frozen=True)
class SemanticClasses:
    """names: of the classes. classify: colours `[N, 3]` -> their places in `names`, `[N]`."""

    names: tuple[str, ...]
    classify: Callable[[NDArray[np.uint8]], NDArray[np.int64]]
    about: str

    def index(self, colours: ColourMap) -> NDArray[np.int64]:
        """Places in `names`, `[H, W]`; -1 for a colour of no class."""
        distinct, inverse = np.unique(packed(colours), return_inverse=True)
        return self.classify(unpacked(distinct))[inverse].reshape(colours.shape[:2])


def load_palette(triptychs: Path) -> Palette | None:
    """The palette `prepare_triptychs` recorded, where the data set has named classes.

    Raises InputError: an entry that is no colour.
    """
    path = triptychs / INFO_NAME
    palette = read_info(triptychs).get(PALETTE_KEY) if path.exists() else None
    if palette is None:
        return None
    colours = list(palette.values()) if isinstance(palette, dict) else [None]
    if not all(_is_colour(colour) for colour in colours):
        raise InputError(f"{path}: {PALETTE_KEY} must map class names to [r, g, b], 0 to 255")
    return {str(name): colour for name, colour in palette.items()}


def find_classes(maps: Sequence[ColourMap], palette: Palette | None = None) -> SemanticClasses:
    """The classes of the maps; only those that occur in them."""
    counts = _colour_counts(maps)
    colours, pixels = unpacked(counts[0]), counts[1]
    if palette is None and _nearest(colours, CITYSCAPES)[1].max() <= _SHADE:
        return _of_palette(colours, CITYSCAPES, "nearest colour of Cityscapes")
    if palette is None:
        return _of_clusters(colours, pixels)
    return _of_palette(colours, palette, "nearest colour of the data set's palette")


def _of_palette(colours: NDArray[np.uint8], palette: Palette, about: str) -> SemanticClasses:
    present = set(_nearest(colours, palette)[0].tolist())
    chosen = {name: rgb for i, (name, rgb) in enumerate(palette.items()) if i in present}
    return SemanticClasses(tuple(chosen), lambda some: _nearest(some, chosen)[0], about)


def _of_clusters(colours: NDArray[np.uint8], pixels: NDArray[np.int64]) -> SemanticClasses:
    occupied = np.zeros((_CELLS,) * 3, bool)
    cells = tuple((colours >> _CELL_BITS).T)
    occupied[cells] = True
    labels, count = ndimage.label(occupied, np.ones((3, 3, 3)))
    table = labels.astype(np.int64) - 1  # -1 where no colour of the maps lies
    members = table[cells]
    commonest = [colours[np.argmax(np.where(members == k, pixels, 0))] for k in range(count)]
    names = tuple("#{:02x}{:02x}{:02x}".format(*colour) for colour in commonest)
    return SemanticClasses(
        names,
        lambda some: table[tuple((some >> _CELL_BITS).T)],
        "colours that lie together, named after the commonest",
    )


def _nearest(
    colours: NDArray[np.uint8], palette: Palette
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Place of the nearest palette colour and the distance to it, both `[N]`."""
    known = np.array(list(palette.values()), np.float64)
    distances = np.linalg.norm(colours[:, None].astype(np.float64) - known, axis=-1)  # [N, K]
    return distances.argmin(-1).astype(np.int64), distances.min(-1)


def _colour_counts(maps: Sequence[ColourMap]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Packed colours of all maps, sorted, and how many pixels each has."""
    pairs = [np.unique(packed(colours), return_counts=True) for colours in maps]
    distinct, inverse = np.unique(np.concatenate([pair[0] for pair in pairs]), return_inverse=True)
    counts = np.bincount(inverse, np.concatenate([pair[1] for pair in pairs]))
    return distinct, counts.astype(np.int64)


def _is_colour(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(level, int) and 0 <= level <= 255 for level in value)
    )
