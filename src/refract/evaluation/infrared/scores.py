"""All measures of one generated infrared picture against its scene's truth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from einops import repeat
from numpy.typing import NDArray

from refract.evaluation.infrared.baselines import luma
from refract.evaluation.infrared.definitions import DEFINITIONS
from refract.evaluation.infrared.scenes import Gray, TrueScene
from refract.evaluation.infrared.targets import Targets, find_targets, target_counts
from refract.evaluation.measures.geometric_drift import (
    SceneGeometry,
    geometry_scores,
    scene_geometry,
)
from refract.evaluation.measures.image import to_unit
from refract.evaluation.measures.ms_ssim import ms_ssim, ms_ssim_key
from refract.evaluation.measures.perceptual import Features, Lpips

_ORDER = list(DEFINITIONS)  # of the tables; a measure without a definition is a defect
PictureScores = dict[str, float]  # metric -> value
Scores = dict[str, list[float]]  # metric -> one value a scene, in the order of the scenes


class PictureScorer(Protocol):
    """Measures pictures of one scene, by computing or by knowing."""

    def measured(self, picture: Gray) -> PictureScores: ...


@dataclass(frozen=True)
class SceneScorer:
    """Scores pictures of one scene; what depends on the scene alone is computed once."""

    scene: TrueScene
    lpips: Lpips | None  # None leaves its measure out

    def measured(self, picture: Gray) -> PictureScores:
        """Every measure of a picture `[P, P]`, 8-bit: single channel, native resolution, no resize.

        LPIPS sees the picture as three equal channels. nan where a measure has nothing to hold a
        picture against.
        """
        image, truth = to_unit(picture), self._truth
        values = geometry_scores(image, self._geometry)
        values |= target_counts(self._targets, find_targets(picture))
        if self.lpips is not None:
            (values["lpips"],) = self.lpips.distances([as_rgb(picture)], self._truth_seen)
        if (key := ms_ssim_key(min(truth.shape))) is not None:
            values[key] = ms_ssim(image, truth)
        for name, definition in DEFINITIONS.items():
            if definition.measure is not None:
                values[name] = definition.measure(image, truth)
        return {name: values[name] for name in sorted(values, key=_ORDER.index)}

    @cached_property
    def _truth(self) -> NDArray[np.float32]:
        return to_unit(self.scene.infrared)

    @cached_property
    def _targets(self) -> Targets:
        return find_targets(self.scene.infrared)

    @cached_property
    def _geometry(self) -> SceneGeometry:
        return scene_geometry(luma(self.scene) / 255, self._truth)

    @cached_property
    def _truth_seen(self) -> Features:
        assert self.lpips is not None
        return self.lpips.features([as_rgb(self.scene.infrared)])


def score_pictures(
    scenes: Sequence[TrueScene],
    variants: Mapping[str, Sequence[Gray]],
    scorer_of: Callable[[TrueScene], PictureScorer],
) -> dict[str, Scores]:
    """Every measure of each variant's pictures, one a scene, 8-bit `[P, P]`; a scene at a time."""
    measured = []
    for place, scene in enumerate(scenes):
        scorer = scorer_of(scene)
        measured.append([scorer.measured(pictures[place]) for pictures in variants.values()])
    # A measure that the smallest picture is too small for is one that no other has.
    names = [name for name in measured[0][0] if all(name in scores[0] for scores in measured)]
    return {
        variant: {name: [scores[place][name] for scores in measured] for name in names}
        for place, variant in enumerate(variants)
    }


def as_rgb(picture: Gray) -> NDArray[np.uint8]:
    """`[H, W]` -> three equal channels `[H, W, 3]`."""
    return np.asarray(repeat(picture, "h w -> h w c", c=3))
