"""All measures of one generated infrared picture against its scene's truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from einops import repeat
from numpy.typing import NDArray
from tqdm import tqdm

from refract.evaluation.infrared.baselines import luma
from refract.evaluation.infrared.definitions import DEFINITIONS
from refract.evaluation.infrared.scenes import Gray, TrueScene
from refract.evaluation.measures.geometric_drift import geometry_scores, scene_geometry
from refract.evaluation.measures.image import to_unit
from refract.evaluation.measures.ms_ssim import ms_ssim, ms_ssim_key
from refract.evaluation.measures.perceptual import Lpips

_ORDER = list(DEFINITIONS)  # of the tables; a measure without a definition is a defect
Scores = dict[str, list[float]]  # metric -> one value a scene, in the order of the scenes


@dataclass(frozen=True)
class InfraredScorer:
    """Scores pictures of the same scenes, one scene in memory at a time."""

    scenes: Sequence[TrueScene]
    lpips: Lpips | None  # None leaves its measure out

    def scores(self, variants: Mapping[str, Sequence[Gray]]) -> dict[str, Scores]:
        """Every measure of each variant's pictures, one a scene, 8-bit `[P, P]`.

        Single channel, native resolution, no resize. LPIPS sees the picture as three equal
        channels. nan where a measure has nothing to hold a picture against.
        """
        measured = []
        for place, scene in enumerate(tqdm(self.scenes, desc="infrared metrics", unit="scene")):
            made = [pictures[place] for pictures in variants.values()]
            measured.append(self._measure(scene, made))
        # A measure that the smallest picture is too small for is one that no other has.
        names = [name for name in measured[0][0] if all(name in scores[0] for scores in measured)]
        return {
            variant: {name: [scores[place][name] for scores in measured] for name in names}
            for place, variant in enumerate(variants)
        }

    def _measure(self, scene: TrueScene, pictures: Sequence[Gray]) -> list[dict[str, float]]:
        """The measures of several pictures of one scene."""
        truth = to_unit(scene.infrared)
        geometry = scene_geometry(luma(scene) / 255, truth)
        key = ms_ssim_key(min(truth.shape))
        measured = []
        for picture, distance in zip(pictures, self._lpips(pictures, scene), strict=True):
            image = to_unit(picture)
            values = {**distance, **geometry_scores(image, geometry)}
            if key is not None:
                values[key] = ms_ssim(image, truth)
            for name, definition in DEFINITIONS.items():
                if definition.measure is not None:
                    values[name] = definition.measure(image, truth)
            measured.append({name: values[name] for name in sorted(values, key=_ORDER.index)})
        return measured

    def _lpips(self, pictures: Sequence[Gray], scene: TrueScene) -> list[dict[str, float]]:
        if self.lpips is None:
            return [{} for _ in pictures]
        truth = self.lpips.features([as_rgb(scene.infrared)])
        distances = self.lpips.distances([as_rgb(picture) for picture in pictures], truth)
        return [{"lpips": distance} for distance in distances]


def as_rgb(picture: Gray) -> NDArray[np.uint8]:
    """`[H, W]` -> three equal channels `[H, W, 3]`."""
    return np.asarray(repeat(picture, "h w -> h w c", c=3))
