"""The deliverable's frames: the template's own, with edited pixels in the region of each shot."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from refract.base.errors import InputError
from refract.editing.deliver.composing import Planes, Weight, blended, to_planes
from refract.editing.deliver.placing import Placement
from refract.editing.deliver.replaced_region import EditedShot, changed_regions
from refract.media.clip_facts import clip_facts
from refract.media.region_mask import read_region, soften
from refract.media.regions import BoolArray
from refract.media.video_io import Frames, read_frames
from refract.params.deliver import Deliver


class FinalFrame(NamedTuple):
    """time: s from the template's start. weight: of the edit; 0 where the template is as it was."""

    time: Fraction
    planes: Planes
    weight: Weight


class _Edited(NamedTuple):
    """place: among the template's frames. region: of the edit's shape, or of the template's."""

    place: int
    picture: Frames
    region: BoolArray | None  # None where the whole edit shows


def final_frames(
    template: Path,
    shots: Sequence[EditedShot],
    settings: Deliver,
    fps: float | None = None,
    region_mask: Path | None = None,
) -> Iterator[FinalFrame]:
    """All frames of the template at its own size, one at a time, whatever its length.

    Parameters and errors as of `final_clip.write_final`.
    """
    edits = _edited(template, shots, settings, fps, region_mask)
    edit = next(edits, None)
    for place, (time, planes) in enumerate(read_frames(template, fps=fps, layout="yuv")):
        if edit is None or edit.place != place:
            yield FinalFrame(time, planes, np.zeros(_shape(planes), np.uint8))
            continue
        yield _composed(time, planes, edit, settings)
        edit = next(edits, None)
    if edit is not None:
        raise InputError(f"video {template}: has no frame {edit.place}, but there is an edit of it")


def _edited(
    template: Path,
    shots: Sequence[EditedShot],
    settings: Deliver,
    fps: float | None,
    region_mask: Path | None,
) -> Iterator[_Edited]:
    facts = clip_facts(template)
    regions: Iterator[BoolArray | None]
    for shot in sorted(shots):
        if not settings.composite:
            regions = repeat(None)
        elif region_mask is None:
            regions = changed_regions(shot)
        else:
            count, size = clip_facts(shot.edit).frames, (facts.width, facts.height)
            regions = read_region(region_mask, shot.first, count, size, fps=fps)
        # regions first: at their end they may have an error to tell
        pictures = zip(regions, read_frames(shot.edit), strict=False)
        for place, (region, frame) in enumerate(pictures, shot.first):
            yield _Edited(place, frame.pixels, region)


def _composed(time: Fraction, planes: Planes, edit: _Edited, settings: Deliver) -> FinalFrame:
    height, width = _shape(planes)
    placement = Placement.of((width, height), (edit.picture.shape[1], edit.picture.shape[0]))
    feather_px = settings.feather * min(height, width)
    shown, region = placement.inside(feather_px), edit.region
    if region is not None:
        if region.shape != (height, width):
            region = placement.back(region.astype(np.uint8), Image.Resampling.NEAREST) > 0
        shown = shown * soften(region, feather_px, feather_px)
    weight = np.rint(255 * shown).astype(np.uint8)
    if not weight.any():
        return FinalFrame(time, planes, weight)
    picture = placement.back(edit.picture, Image.Resampling.LANCZOS)
    return FinalFrame(time, blended(planes, to_planes(picture), weight), weight)


def _shape(planes: Planes) -> tuple[int, int]:
    return planes.shape[0] * 2 // 3, planes.shape[1]
