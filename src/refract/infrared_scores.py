"""All measures of one generated infrared picture against its scene's truth."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from einops import repeat
from numpy.typing import NDArray

from refract.geometric_drift import SceneGeometry, geometry_scores, scene_geometry
from refract.image_metrics import l1, psnr, ssim, to_unit
from refract.infrared_baselines import luma
from refract.infrared_scenes import Gray, Scene
from refract.ms_ssim import ms_ssim, ms_ssim_key
from refract.perceptual import PerceptualDistance

Scores = dict[str, list[float]]  # metric -> one value a scene, in the order of the scenes


@dataclass
class InfraredScorer:
    """Scores pictures of the same scenes; what depends on the scenes alone is computed once."""

    scenes: Sequence[Scene]
    perceptual: PerceptualDistance
    _geometry: list[SceneGeometry] = field(init=False)

    def __post_init__(self) -> None:
        self._truths = [to_unit(scene.infrared) for scene in self.scenes]
        self._geometry = [
            scene_geometry(luma(scene) / 255, truth)
            for scene, truth in zip(self.scenes, self._truths, strict=True)
        ]

    def scores(self, pictures: Sequence[Gray]) -> Scores:
        """Every measure of one picture a scene, 8-bit `[P, P]`.

        Single channel, native resolution, no resize. The perceptual distance sees the picture as
        three equal channels. nan where a measure has nothing to hold a picture against.
        """
        images = [to_unit(picture) for picture in pictures]
        pairs = list(zip(images, self._truths, strict=True))
        scores: Scores = {"psnr": [psnr(*pair) for pair in pairs]}
        scores["ssim"] = [ssim(*pair) for pair in pairs]
        key = ms_ssim_key(min(min(truth.shape) for truth in self._truths))
        if key is not None:
            scores[key] = [ms_ssim(*pair) for pair in pairs]
        truths = [as_rgb(scene.infrared) for scene in self.scenes]
        scores[self.perceptual.key] = self.perceptual([as_rgb(x) for x in pictures], truths)
        scores["l1"] = [l1(*pair) for pair in pairs]
        found = [geometry_scores(*pair) for pair in zip(images, self._geometry, strict=True)]
        return scores | {name: [each[name] for each in found] for name in found[0]}


def as_rgb(picture: Gray) -> NDArray[np.uint8]:
    """`[H, W]` -> three equal channels `[H, W, 3]`."""
    return np.asarray(repeat(picture, "h w -> h w c", c=3))
