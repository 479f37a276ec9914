"""The deliverable's frames: the template's own, with edited pixels in the region of each shot."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from refract.base.errors import InputError
from refract.editing.deliver.composing import Planes, Weight, blended, feathered, to_planes
from refract.editing.deliver.placing import Placement
from refract.editing.deliver.replaced_region import EditedShot, changed_regions
from refract.media.regions import BoolArray
from refract.media.video_io import Frames, read_frames
from refract.params.deliver import Deliver


class FinalFrame(NamedTuple):
    """time: s from the template's start. weight: of the edit; 0 where the template is as it was."""

    time: Fraction
    planes: Planes
    weight: Weight


class _Edited(NamedTuple):
    """place: among the template's frames. region: of the edit's shape; None for the user's own."""

    place: int
    picture: Frames
    region: BoolArray | None


def final_frames(
    template: Path,
    shots: Sequence[EditedShot],
    settings: Deliver,
    fps: float | None = None,
    masks: Iterator[BoolArray] | None = None,
) -> Iterator[FinalFrame]:
    """All frames of the template at its own size, one at a time, whatever its length.

    masks: the user's region [H, W] of each frame; None takes what the edits changed.
    Raises InputError: a clip cannot be decoded, or a shot is of frames the template does not have.
    """
    edits = _edited(shots, find_regions=settings.composite and masks is None)
    edit = next(edits, None)
    given = repeat(None) if masks is None else masks
    frames = read_frames(template, fps=fps, layout="yuv")
    for place, ((time, planes), mask) in enumerate(zip(frames, given, strict=False)):
        if edit is None or edit.place != place:
            height, width = _shape(planes)
            yield FinalFrame(time, planes, np.zeros((height, width), np.uint8))
            continue
        yield _composed(time, planes, edit, mask, settings)
        edit = next(edits, None)
    if edit is not None:
        raise InputError(f"video {template}: has no frame {edit.place}, but there is an edit of it")


def _edited(shots: Sequence[EditedShot], *, find_regions: bool) -> Iterator[_Edited]:
    for shot in sorted(shots):
        regions = changed_regions(shot) if find_regions else repeat(None)
        for place, (frame, region) in enumerate(zip(read_frames(shot.edit), regions, strict=False)):
            yield _Edited(shot.first + place, frame.pixels, region)


def _composed(
    time: Fraction, planes: Planes, edit: _Edited, mask: BoolArray | None, settings: Deliver
) -> FinalFrame:
    height, width = _shape(planes)
    placement = Placement.of((width, height), (edit.picture.shape[1], edit.picture.shape[0]))
    feather_px = settings.feather * min(height, width)
    shown = placement.inside(feather_px)
    if settings.composite:
        if mask is None:
            assert edit.region is not None
            mask = placement.back(edit.region.astype(np.uint8), Image.Resampling.NEAREST) > 0
        shown = shown * feathered(mask, feather_px, feather_px)
    weight = np.rint(255 * shown).astype(np.uint8)
    if not weight.any():
        return FinalFrame(time, planes, weight)
    picture = placement.back(edit.picture, Image.Resampling.LANCZOS)
    return FinalFrame(time, blended(planes, to_planes(picture), weight), weight)


def _shape(planes: Planes) -> tuple[int, int]:
    return planes.shape[0] * 2 // 3, planes.shape[1]
