"""The product of an edit held against its photo and the region that it is to fill."""

from dataclasses import dataclass
from functools import cached_property

from refract.evaluation.edits.product_fidelity import FIDELITY_KEY, fidelity
from refract.evaluation.measures.product import (
    Frames,
    Measured,
    ProductPhoto,
    RegionMask,
    colour_measures,
    merged,
)
from refract.evaluation.measures.product_motion import ProductMotion
from refract.evaluation.measures.product_shape import ProductFinder, shape_measures
from refract.evaluation.measures.source_motion import SourceMotion


@dataclass(frozen=True)
class JudgedProduct:
    """A photo's product in edits of one source.

    region: `[T, H, W]`, to be filled. background: `[T, H, W]`, where nothing is looked for.
    """

    photo: ProductPhoto
    motion: SourceMotion
    region: RegionMask
    background: RegionMask

    def measures(self, clip: Frames) -> Measured:
        """Colours, shape and motion of the product of a clip, and `product.fidelity`."""
        product = self._finder.find(clip)
        parts = merged(
            colour_measures(clip, self.region, self.photo),
            shape_measures(product, self.region),
            self._product_motion.measures(clip, product),
        )
        return Measured(parts.scores | {FIDELITY_KEY: fidelity(parts.scores)}, parts.series)

    @cached_property
    def _finder(self) -> ProductFinder:
        return ProductFinder(self.photo, self.motion.source, self.background)

    @cached_property
    def _product_motion(self) -> ProductMotion:
        motion = self.motion
        return ProductMotion(motion.source, motion.flows, motion.hidden, self.region)
