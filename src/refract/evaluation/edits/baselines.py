"""Cheats an honest measure must see through, made from a case's own clips, photo and region.

`pasted` lays the product photo over the source at one place, `pasted_frame` shows the photo alone,
and `frozen` repeats an edit's first frame. `pasted_tracked` lets the pasted photo follow the true
region, which no editor is told: it says how far copying gets, and what only a product in the right
pose and light adds. They cost no model, and a metric that one of them wins says nothing about an
edit on its own.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refract.base.on_demand import OnDemandMapping
from refract.evaluation.edits.scores import EditCase
from refract.evaluation.measures.product import Frames, ProductPhoto, RegionMask
from refract.evaluation.variants import (
    FROZEN,
    PASTED,
    PASTED_FRAME,
    PASTED_TRACKED,
    edit_to_freeze,
)


def with_cheats(case: EditCase) -> EditCase:
    """The case with the cheats it allows among its clips, each made when it is asked for.

    `frozen` needs a reference edit, `pasted_frame` a photo, `pasted` and `pasted_tracked`
    its product and a region too; what a case lacks, it has no variant of.
    """
    source, region, photo = case.source, case.region, case.photo
    clips: dict[str, Callable[[], Frames]] = {
        name: partial(case.clips.__getitem__, name) for name in case.clips
    }
    if (edit := edit_to_freeze(clips)) in clips:
        clips[FROZEN] = lambda: frozen(case.clips[edit])
    if photo is not None:
        clips[PASTED_FRAME] = lambda: np.repeat(photo.pixels[None], len(source), axis=0)
        if region is not None and photo.foreground is not None:
            clips[PASTED] = lambda: pasted(source, region, photo)
            clips[PASTED_TRACKED] = lambda: pasted_tracked(source, region, photo)
    return replace(case, clips=OnDemandMapping(clips))


def frozen(clip: Frames) -> Frames:
    """The first frame `[H, W, 3]` for the whole length."""
    return np.repeat(clip[:1], len(clip), axis=0)


def pasted(source: Frames, region: RegionMask, photo: ProductPhoto) -> Frames:
    """The photo's product at one place of the source for the whole length.

    Place and area are the means over the frames that have a region: the place that a sticker
    which stands still gets most of the region from.
    """
    places = [place for place in map(_place, region) if place is not None]
    mean = tuple(np.mean(places, axis=0).tolist()) if places else None
    return np.stack([_lay(frame, photo, mean) for frame in source])


def pasted_tracked(source: Frames, region: RegionMask, photo: ProductPhoto) -> Frames:
    """The photo's product over the source, centred on the region's box and of the region's area.

    It follows the region's place and scale, not its turning. The area is matched, not the box,
    which would make it pulse where a region turns. A frame without a region keeps the source.
    """
    places = [_place(mask) for mask in region]
    frames = zip(source, places, strict=True)
    return np.stack([_lay(frame, photo, place) for frame, place in frames])


def _place(mask: RegionMask) -> tuple[float, ...] | None:
    """Centre row and column of a mask's box and the mask's pixel count; None where empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size == 0:
        return None
    centre = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
    return *centre, float(mask.sum())


def _lay(
    frame: NDArray[np.uint8], photo: ProductPhoto, place: tuple[float, ...] | None
) -> NDArray[np.uint8]:
    """The frame `[H, W, 3]` with the photo's product blended in at a place, parts outside cut."""
    assert photo.foreground is not None
    product = _place(photo.foreground)
    if place is None or product is None:
        return frame
    row, column, area = place
    scale = (product[2] / area) ** 0.5  # photo pixels a frame pixel
    # PIL's affine map goes from output to input coordinates, pixel corners at whole numbers
    affine = (scale, 0, product[1] - scale * column, 0, scale, product[0] - scale * row)
    picture, stencil = (
        Image.fromarray(pixels).transform(
            (frame.shape[1], frame.shape[0]),
            Image.Transform.AFFINE,
            affine,
            Image.Resampling.BICUBIC,
        )
        for pixels in (photo.pixels, np.where(photo.foreground, 255, 0).astype(np.uint8))
    )
    share = np.asarray(stencil, np.float32)[..., None] / 255
    blended = np.asarray(picture, np.float32) * share + frame * (1 - share)
    return np.rint(blended).clip(0, 255).astype(np.uint8)
