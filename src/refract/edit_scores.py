"""All measures of one edited clip, and of every clip of one case."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from refract.clip_model import ClipModel
from refract.perceptual import PerceptualDistance
from refract.product_metrics import (
    Clip,
    ProductPhoto,
    Region,
    adjacent_similarity,
    background_scores,
    colour_scores,
    crop_square,
    frame_change,
    outside_only,
    similarity_to,
)

STILL = 0.5  # levels of 255: a source that changes less from frame to frame stands still

ClipScores = dict[str, float]  # dotted metric -> value


@dataclass(frozen=True)
class EditCase:
    """The clips of one case and what they are held against; None where the case has none.

    clips: variant -> `[T, H, W, 3]`; `source` is among them.
    region: where the product shall be, `[T, H, W]`. background: what must not change.
    """

    name: str
    clips: Mapping[str, Clip]
    photo: ProductPhoto | None = None
    region: Region | None = None
    background: Region | None = None

    @property
    def source(self) -> Clip:
        return self.clips["source"]


@dataclass
class CaseScorer:
    """Scores the clips of one case; what depends on source and photo alone is computed once."""

    case: EditCase
    clip_model: ClipModel
    perceptual: PerceptualDistance | None  # None leaves its measure out
    _seen: dict[bytes, ClipScores] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._source_similarity = adjacent_similarity(self._features(self.case.source))
        self._source_change = frame_change(self.case.source)

    def scores(self, variant: str) -> ClipScores:
        """Scores of a variant; a clip equal to one already scored is not scored again."""
        frames = self.case.clips[variant]
        content = frames.tobytes()
        if content not in self._seen:
            self._seen[content] = self._score(frames)
        return self._seen[content]

    def _features(self, frames: Clip) -> torch.Tensor:
        return self.clip_model.image_features(list(frames))

    def _score(self, frames: Clip) -> ClipScores:
        case, features = self.case, self._features(frames)
        scores = self._temporal(frames, features)
        if case.photo is not None:
            photo = self._features(case.photo.pixels[None])
            scores["product.clip_i"] = similarity_to(features, photo)
            if case.region is not None and case.photo.foreground is not None:
                scores |= self._product(frames, case.region, case.photo)
        if case.background is not None:
            scores |= background_scores(frames, case.source, case.background)
            if self.perceptual is not None:
                kept = outside_only(frames, case.source, case.background)
                distances = self.perceptual(list(kept), list(case.source))
                scores[f"background.{self.perceptual.key}"] = float(np.mean(distances))
        return scores

    def _product(self, frames: Clip, region: Region, photo: ProductPhoto) -> ClipScores:
        crops = [crop_square(*pair) for pair in zip(frames, region, strict=True)]
        features = self.clip_model.image_features([*crops, photo.crop])
        similarity = similarity_to(features[:-1], features[-1:])
        return {"product.clip_i_crop": similarity, **colour_scores(frames, region, photo)}

    def _temporal(self, frames: Clip, features: torch.Tensor) -> ClipScores:
        """Consistency and change, both as multiples of the source's own: 1 is the aim.

        A frozen video scores highest on plain frame similarity; here it shows as a consistency
        above 1 and a change of 0. A still source has no change to compare with.
        """
        moving = self._source_change > STILL
        return {
            "temporal.relative_consistency": adjacent_similarity(features)
            / self._source_similarity,
            "temporal.relative_change": frame_change(frames) / self._source_change
            if moving
            else float("nan"),
        }
