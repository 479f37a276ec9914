"""The files of a part of a case as arrays."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from refract.base.errors import InputError
from refract.base.on_demand import OnDemandMapping
from refract.evaluation.edits.parts import Part
from refract.evaluation.edits.scores import EditCase
from refract.evaluation.measures.product import Frames, ProductPhoto, background_region
from refract.evaluation.variants import SOURCE
from refract.media.mask_folder import read_masks
from refract.media.product_image import Foreground, load_product_image
from refract.media.video_io import read_frames

if TYPE_CHECKING:
    from refract.evaluation.edits.case_files import CaseFiles

logger = logging.getLogger(__name__)


def load_edit_case(files: "CaseFiles", part: Part) -> EditCase:
    """Source, photo and regions of a part; its other clips are read when they are asked for.

    The product region is `target_mask`, or `source_mask` where the case has no other; the
    background is what lies further than `dilate_px` from both.

    Raises InputError: an unreadable clip, one of another shape than the source, one that is longer
    or shorter than its parts, too few masks, and masks that show nothing in any part.
    """
    is_last = part == files.parts[-1]
    source = _read(files.clips[SOURCE], part, is_last)
    height, width = source.shape[1:3]
    masks = {
        kind: read_masks(folder, part.frames, height, width, part.first)
        for kind, folder in files.masks.items()
    }
    region = masks.get("target", masks.get("source"))
    if region is not None and not region.any():
        _refuse_black_masks(files, height, width)
    background = background_region(list(masks.values()), files.dilate_px) if masks else None
    clips: dict[str, Callable[[], Frames]] = {
        name: partial(_read, path, part, is_last, source) for name, path in files.clips.items()
    }
    clips[SOURCE] = lambda: source
    photo, prompt = _read_photo(files, height, width), files.case.target_prompt
    return EditCase(files.name, OnDemandMapping(clips), photo, region, background, prompt)


def _read(path: Path, part: Part, is_last: bool, source: Frames | None = None) -> Frames:
    """A part of a clip, of the shape of the source's; after the last one the clip must end."""
    shown = read_frames(path, first=part.start, count=part.frames + is_last)
    frames = [frame.pixels for frame in shown]
    if len(frames) != part.frames:
        raise InputError(
            f"{path}: has {len(frames)} frames from number {part.start} on, but its shots in "
            f"info.json have {part.frames} there; run flowalign_edit again"
        )
    clip = np.stack(frames)
    if source is not None and clip.shape != source.shape:
        raise InputError(f"{path}: {path.stem} is {clip.shape}, but source is {source.shape}")
    return clip


def _refuse_black_masks(files: "CaseFiles", height: int, width: int) -> None:
    """A product may be absent from a part, but not from all of them."""
    folder, *_ = files.masks.values()  # the target's, where the case has them
    for part in files.parts:
        if read_masks(folder, part.frames, height, width, part.first).any():
            return
    name = files.name
    raise InputError(f"case {name}: its masks are black everywhere; the product must be white")


def _read_photo(files: "CaseFiles", height: int, width: int) -> ProductPhoto | None:
    """The product photo on the clip's grid, whatever part of it the reference bank was given.

    The product is where the case's mask says, else where the network that made the bank does.
    """
    if files.photo is None:
        return None
    if files.has_whole_photo:
        pixels = load_product_image(files.photo, height, width, "all").pixels
        return ProductPhoto(pixels, None)
    mask = None if (given := files.case.target_image_mask) is None else Path(given)
    found_by: Foreground = "mask" if mask else "model" if files.network else "auto"
    image = load_product_image(files.photo, height, width, found_by, mask, files.network)
    if image.keeps_all:
        logger.warning(
            "case %s: its photo has no plain backdrop; only whole-frame CLIP-I", files.name
        )
        return ProductPhoto(image.pixels, None)
    return ProductPhoto(image.pixels, image.mask)
