"""All measures of one edited clip, and of every clip of one case."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from refract.evaluation.edits.clip_measures import CLIP_MEASURES
from refract.evaluation.edits.found_region import changed_region
from refract.evaluation.edits.judged_product import JudgedProduct
from refract.evaluation.edits.product_fidelity import FIDELITY_KEY, FOUND_KEY
from refract.evaluation.measures.perceptual import Features, Lpips
from refract.evaluation.measures.photo_similarity import ImageEncoder, PhotoSimilarity, cosines
from refract.evaluation.measures.product import (
    Frames,
    Measured,
    ProductPhoto,
    RegionMask,
    background_measures,
    finite_mean,
    merged,
    outside_only,
)
from refract.evaluation.measures.product_detail import ProductDetail
from refract.evaluation.measures.source_motion import SourceMotion
from refract.evaluation.measures.vmaf import has_vmaf, vmaf_measures
from refract.evaluation.variants import PLAIN
from refract.models.clip import ClipModel


@dataclass(frozen=True)
class EditCase:
    """The clips of one case and what they are held against; None where the case has none.

    clips: variant -> `[T, H, W, 3]`; `source` is among them.
    region: where the product shall be, `[T, H, W]`. background: what must not change.
    prompt: what the edit shall show, in words.
    """

    name: str
    clips: Mapping[str, Frames]
    photo: ProductPhoto | None = None
    region: RegionMask | None = None
    background: RegionMask | None = None
    prompt: str | None = None

    @property
    def source(self) -> Frames:
        return self.clips["source"]


@dataclass
class CaseScorer:
    """Scores the clips of one case; what depends on source and photo alone is computed once.

    A clip equal to one already scored is not scored again. What the case, or the configuration,
    lacks leaves its measures out: they have no key then. `definitions` says what each
    key means.
    """

    case: EditCase
    clip_model: ClipModel
    lpips: Lpips | None  # None leaves its measure out
    dino: ImageEncoder | None = None  # None leaves its measures out
    _seen: dict[bytes, Measured] = field(default_factory=dict)

    def measured(self, variant: str) -> Measured:
        """One value a metric, nan where it has none for this clip, and those by frame or pair."""
        frames = self.case.clips[variant]
        content = hashlib.sha256(frames.tobytes()).digest()
        if content not in self._seen:
            self._seen[content] = self._measure(frames)
        return self._seen[content]

    def _measure(self, frames: Frames) -> Measured:
        features = self._features(frames)
        parts = [self._motion.measures(frames, features)]
        simple = {
            key: definition.measure(frames, self.case.source)
            for key, definition in CLIP_MEASURES.items()
            if definition.measure is not None
        }
        parts.append(Measured(simple, {}))
        if self.case.prompt is not None:
            words = self._prompt_features
            parts.append(cosines(f"product.{self.clip_model.key}_t", features, words))
        parts += self._product(frames, features)
        if self.case.background is not None:
            parts += self._background(frames, self.case.background)
        return merged(*parts)

    def _product(self, frames: Frames, features: torch.Tensor) -> list[Measured]:
        """Likeness to the photo: whole frames, and the product where both know where it is."""
        parts, region = [], None if self._product_photo is None else self.case.region
        for similarity in self._similarities:
            is_clip = similarity.encoder is self.clip_model
            seen = features if is_clip else similarity.encoder.image_features(list(frames))
            parts.append(similarity.frames(seen))
            if region is not None:
                parts.append(similarity.crops(frames, region))
        if region is not None and self._judged is not None:
            parts.append(self._judged.measures(frames))
            if self._detail is not None:
                parts.append(self._detail.measures(frames, region))
        elif self._product_photo is not None:
            parts.append(self._without_masks(frames))
        return parts

    def _without_masks(self, frames: Frames) -> Measured:
        """`product.fidelity_found`; nan where the plain edit tells no region."""
        judged = self._judged
        value = float("nan") if judged is None else judged.measures(frames).scores[FIDELITY_KEY]
        return Measured({FOUND_KEY: value}, {})

    def _background(self, frames: Frames, background: RegionMask) -> list[Measured]:
        parts = [background_measures(frames, self.case.source, background)]
        kept = outside_only(frames, self.case.source, background)
        if has_vmaf():
            parts.append(vmaf_measures(kept, self.case.source))
        if self.lpips is not None:
            changed = (kept != self.case.source).any((1, 2, 3))  # of equal frames it is 0
            distances = np.zeros(len(kept))
            if changed.any():
                truths = [level[changed] for level in self._source_seen]
                distances[changed] = self.lpips.distances(list(kept[changed]), truths)
            key = "background.lpips"
            series: list[float] = distances.tolist()
            parts.append(Measured({key: finite_mean(series)}, {key: series}))
        return parts

    def _features(self, frames: Frames) -> torch.Tensor:
        return self.clip_model.image_features(list(frames))

    @cached_property
    def _source_seen(self) -> Features:
        assert self.lpips is not None
        return self.lpips.features(list(self.case.source))

    @cached_property
    def _motion(self) -> SourceMotion:
        return SourceMotion(self.case.source, self._features(self.case.source))

    @cached_property
    def _prompt_features(self) -> torch.Tensor:
        assert self.case.prompt is not None
        return self.clip_model.prompt_features(self.case.prompt)

    @cached_property
    def _similarities(self) -> list[PhotoSimilarity]:
        if self.case.photo is None:
            return []
        encoders = [self.clip_model, *([] if self.dino is None else [self.dino])]
        return [PhotoSimilarity(encoder, self.case.photo) for encoder in encoders]

    @property
    def _product_photo(self) -> ProductPhoto | None:
        """The photo, if it is known where in it the product is."""
        photo = self.case.photo
        return None if photo is None or photo.foreground is None else photo

    @cached_property
    def _judged(self) -> JudgedProduct | None:
        """By the case's masks, or by the region that its plain edit changed."""
        photo, region, background = self._product_photo, self.case.region, self.case.background
        if photo is not None and region is None and PLAIN in self.case.clips:
            region = changed_region(self.case.clips[PLAIN], self.case.source)
        if photo is None or region is None:
            return None
        if background is None:
            background = np.zeros_like(region)
        return JudgedProduct(photo, self._motion, region, background)

    @cached_property
    def _detail(self) -> ProductDetail | None:
        photo = self._product_photo
        return None if photo is None or self.lpips is None else ProductDetail(self.lpips, photo)
