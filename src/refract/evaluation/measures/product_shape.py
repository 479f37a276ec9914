"""Is the product where it should be, of its shape and in its pose? Judged by its colours.

Histogram back-projection (Swain and Ballard 1991, "Color Indexing") finds the pixels that are of
the product rather than of the source, without a model to train; they are held against the region
that the product should fill.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refract.evaluation.measures.colour import colour_histogram, histogram_bins, lab_pixels
from refract.evaluation.measures.product import (
    Frames,
    Measured,
    ProductPhoto,
    RegionMask,
    finite_mean,
)

SHAPE_KEY = "product.shape_iou"


@dataclass(frozen=True)
class ProductFinder:
    """Finds a photo's product in edits of one source `[T, H, W, 3]`.

    background: `[T, H, W]`, where nothing may change, and where nothing is looked for either.
    """

    photo: ProductPhoto
    source: Frames
    background: RegionMask

    @cached_property
    def _is_product(self) -> NDArray[np.bool_]:
        """Colour bin -> whether it is likelier in the photo's product than in the source clip.

        The whole source, its old product and its surroundings, is what the new one must stand
        out from; both histograms sum to 1, so that neither counts for being larger.
        """
        source = colour_histogram(lab_pixels(self.source.reshape(-1, 3)))
        return np.asarray(self.photo.histogram > source, bool)

    def find(self, clip: Frames) -> RegionMask:
        """Where a clip shows the product's colours outside the background, `[T, H, W]`."""
        product = ~self.background
        bins = histogram_bins(lab_pixels(clip[product]))
        product[product] = self._is_product[tuple(bins.T)]
        return product


def shape_measures(product: RegionMask, region: RegionMask) -> Measured:
    """`product.shape_iou`: overlap of what is found with the region, mean over the frames.

    1 is a product that fills its region and nothing else. It falls with a wrong place, size,
    shape or pose, with holes that the old product or the ground show through, and with wrong
    colours. A frame where neither has a pixel is left out.

    Blind to what lies inside the outline as long as the colours are the product's, and to
    colours that product and source share: they are never found, so that even a perfect edit
    stays below 1.
    """
    series = [_overlap(*pair) for pair in zip(product, region, strict=True)]
    return Measured({SHAPE_KEY: finite_mean(series)}, {SHAPE_KEY: series})


def _overlap(mask: RegionMask, other: RegionMask) -> float:
    """Intersection over union of two masks; nan where both are empty."""
    either = np.count_nonzero(mask | other)
    return np.count_nonzero(mask & other) / either if either else float("nan")
