"""Mean absolute error inside each class of the semantic maps, and its mean over the classes.

The error of all pixels says little of what matters: pedestrians are few pixels. Here each class
pools its pixels over all scenes, and `class_l1` lets every class weigh alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refract.evaluation.infrared.scenes import Gray
from refract.evaluation.infrared.semantic_classes import ColourMap, SemanticClasses
from refract.evaluation.measures.bootstrap import MeanInterval, Resampling, pooled_interval

Table = NDArray[np.float64]  # [scenes, classes]


@dataclass(frozen=True)
class ClassErrors:
    """pixels: of each class in each scene. absolute: variant -> summed error there, fractions."""

    names: tuple[str, ...]
    about: str
    pixels: Table
    absolute: Mapping[str, Table]

    def of_scenes(self, members: Sequence[int]) -> "ClassErrors":
        """The same of some scenes only."""
        chosen = list(members)
        absolute = {name: table[chosen] for name, table in self.absolute.items()}
        return ClassErrors(self.names, self.about, self.pixels[chosen], absolute)

    def class_interval(
        self, variant: str, place: int, resampling: Resampling
    ) -> MeanInterval | None:
        """Error of one class with its interval over scenes; None where no scene shows it."""
        column = np.s_[:, place : place + 1]
        return pooled_interval(self.absolute[variant][column], self.pixels[column], resampling)

    def macro_interval(self, variant: str, resampling: Resampling) -> MeanInterval | None:
        """Mean over the classes of their errors, with its interval over scenes."""
        return pooled_interval(self.absolute[variant], self.pixels, resampling)


def class_errors(
    variants: Mapping[str, Sequence[Gray]],
    truths: Sequence[Gray],
    maps: Sequence[ColourMap],
    classes: SemanticClasses,
) -> ClassErrors:
    """Errors of every variant's pictures, 8-bit `[H, W]`, summed by scene and class."""
    count = len(classes.names)
    pixels: list[Table] = []
    absolute: dict[str, list[Table]] = {name: [] for name in variants}
    for scene, (truth, colours) in enumerate(zip(truths, maps, strict=True)):
        place = classes.index(colours)
        pixels.append(_sums(np.ones(place.shape), place, count))
        for name, pictures in variants.items():
            error = np.abs(pictures[scene].astype(np.float64) - truth) / 255
            absolute[name].append(_sums(error, place, count))
    stacked = {name: np.stack(sums) for name, sums in absolute.items()}
    return ClassErrors(classes.names, classes.about, np.stack(pixels), stacked)


def _sums(values: NDArray[np.floating], places: NDArray[np.int64], count: int) -> Table:
    inside = places >= 0
    return np.asarray(np.bincount(places[inside], values[inside], count), np.float64)
