"""Has the product of an edit the photo's details? LPIPS of the two, both cut out."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.evaluation.measures.product import (
    Frames,
    Measured,
    ProductPhoto,
    RegionMask,
    crop_square,
    finite_mean,
)

if TYPE_CHECKING:
    from refract.evaluation.measures.perceptual import Features, Lpips

DETAIL_KEY = "product.lpips_crop"
CROP_PX = 64  # the size of the patches that LPIPS was calibrated on, and AlexNet's least
GROUND = 128  # of 255, behind both products
TURNS = 4  # of 90 degrees


@dataclass(frozen=True)
class ProductDetail:
    """Distance of clips to one photo whose foreground is known; the photo is seen once."""

    lpips: "Lpips"
    photo: ProductPhoto

    def measures(self, clip: Frames, region: RegionMask) -> Measured:
        """`product.lpips_crop`: LPIPS of each frame's product to the photo's, mean over frames.

        The frame's product is what lies in the region `[T, H, W]`. The photo's is turned by 0, 90,
        180 or 270 degrees, whichever is nearest to the clip as a whole: a choice for each frame
        would reward a product that jumps. nan for a frame without a region.

        A product in another pose keeps a distance however right it is.
        """
        seen = region.any((1, 2))
        series = np.full(len(clip), np.nan)
        if seen.any():
            crops = [cut_out(*pair) for pair in zip(clip[seen], region[seen], strict=True)]
            ours = self.lpips.features(crops)
            by_turn = np.array([self.lpips.between(ours, turned) for turned in self._turns])
            series[seen] = by_turn[by_turn.mean(1).argmin()]
        return Measured({DETAIL_KEY: finite_mean(series.tolist())}, {DETAIL_KEY: series.tolist()})

    @cached_property
    def _turns(self) -> "list[Features]":
        assert self.photo.foreground is not None
        pixels, mask = self.photo.pixels, self.photo.foreground
        turned = (cut_out(np.rot90(pixels, turn), np.rot90(mask, turn)) for turn in range(TURNS))
        return [self.lpips.features([product]) for product in turned]


def cut_out(picture: NDArray[np.uint8], product: RegionMask) -> NDArray[np.uint8]:
    """The square around a product `[H, W]`, all but it gray, scaled to `CROP_PX` (PIL, bicubic)."""
    alone = np.where(product[..., None], picture, np.uint8(GROUND))
    square = Image.fromarray(crop_square(alone, product))
    return np.asarray(square.resize((CROP_PX, CROP_PX), Image.Resampling.BICUBIC))
