"""The files of a case as arrays."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from refract.base.errors import InputError
from refract.base.on_demand import OnDemandMapping
from refract.evaluation.edits.scores import EditCase
from refract.evaluation.measures.product import Frames, ProductPhoto, background_region
from refract.evaluation.variants import SOURCE
from refract.media.mask_folder import read_masks
from refract.media.product_image import Foreground, load_product_image
from refract.media.video_io import read_clip

if TYPE_CHECKING:
    from refract.evaluation.edits.case_files import CaseFiles

logger = logging.getLogger(__name__)


def load_edit_case(files: "CaseFiles") -> EditCase:
    """Source, photo and regions of a case; its other clips are read when they are asked for.

    The product region is `target_mask`, or `source_mask` where the case has no other; the
    background is what lies further than `dilate_px` from both.

    Raises InputError: an unreadable clip, one of another shape than the source, too few masks.
    """
    source = read_clip(files.clips[SOURCE]).frames
    shape = source.shape
    masks = {kind: read_masks(folder, *shape[:3]) for kind, folder in files.masks.items()}
    region = masks.get("target", masks.get("source"))
    if region is not None and not region.any():
        name = files.name
        raise InputError(f"case {name}: its masks are black everywhere; the product must be white")
    background = background_region(list(masks.values()), files.dilate_px) if masks else None
    clips: dict[str, Callable[[], Frames]] = {
        name: partial(_read, path, source) for name, path in files.clips.items()
    }
    clips[SOURCE] = lambda: source
    photo, prompt = _read_photo(files, shape), files.case.target_prompt
    return EditCase(files.name, OnDemandMapping(clips), photo, region, background, prompt)


def _read(path: Path, source: Frames) -> Frames:
    clip = read_clip(path).frames
    if clip.shape != source.shape:
        raise InputError(f"{path}: {path.stem} is {clip.shape}, but source is {source.shape}")
    return clip


def _read_photo(files: "CaseFiles", shape: tuple[int, ...]) -> ProductPhoto | None:
    """The product photo on the clip's grid, whatever part of it the reference bank was given.

    The product is where the case's mask says, else where the network that made the bank does.
    """
    if files.photo is None:
        return None
    if files.has_whole_photo:
        pixels = load_product_image(files.photo, shape[1], shape[2], "all").pixels
        return ProductPhoto(pixels, None)
    mask = None if (given := files.case.target_image_mask) is None else Path(given)
    found_by: Foreground = "mask" if mask else "model" if files.network else "auto"
    image = load_product_image(files.photo, shape[1], shape[2], found_by, mask, files.network)
    if image.keeps_all:
        logger.warning(
            "case %s: its photo has no plain backdrop; only whole-frame CLIP-I", files.name
        )
        return ProductPhoto(image.pixels, None)
    return ProductPhoto(image.pixels, image.mask)
