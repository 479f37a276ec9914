"""What flowalign_edit wrote for a case, with the photo and masks it is judged by, as arrays."""

import logging
from math import inf
from pathlib import Path
from typing import get_args

from refract.base.errors import InputError
from refract.editing.cases.outputs import BASELINES_FOLDER, CURVE_FOLDER
from refract.editing.reference.photo import find_reference_photo
from refract.evaluation.edits.evaluation import PLAIN, RESULT, SOURCE, strength_key
from refract.evaluation.edits.scores import EditCase
from refract.evaluation.measures.product import Frames, ProductPhoto, background_region
from refract.media.mask_folder import read_masks
from refract.media.product_image import load_product_image
from refract.media.video_io import read_clip
from refract.params.cases import INFRARED_REFERENCE, Case
from refract.params.flowalign import BaselineSampler

logger = logging.getLogger(__name__)


def curve_strengths(edits: Path) -> list[float]:
    """The reference strengths rendered for the curve, read off the file names of all cases."""
    return sorted({s for folder in edits.glob("*/") for s, _ in curve_clips(folder)})


def curve_clips(case: Path) -> list[tuple[float, Path]]:
    """(reference strength, clip) of a case's curve in rising order; 0.3.mkv is of 0.3.

    Raises InputError: a clip with another name.
    """
    clips = []
    for path in (case / CURVE_FOLDER).glob("*.mkv"):
        try:
            strength = float(path.stem)
        except ValueError:
            strength = -1.0
        if not 0 <= strength < inf:
            raise InputError(f"{path}: not named by a reference strength, such as 0.3.mkv")
        clips.append((strength, path))
    return sorted(clips)


def load_edit_case(
    name: str, case: Case, edits: Path, dilate_px: int, banks: Path | None = None
) -> EditCase:
    """Clips, photo and regions of a case; baselines by other samplers where the edit made them.

    The product region is `target_mask`, or `source_mask` where the case has no other; the
    background is what lies further than `dilate_px` from both.

    Raises InputError: a missing or unreadable clip, clips of different shapes, too few masks.
    """
    folder = edits / name
    clips = {variant: _read(folder / f"{variant}.mkv") for variant in (SOURCE, PLAIN, RESULT)}
    clips |= {strength_key(strength): _read(path) for strength, path in curve_clips(folder)}
    for sampler in get_args(BaselineSampler):
        if (path := folder / BASELINES_FOLDER / f"{sampler}.mkv").is_file():
            clips[sampler] = _read(path)
    shape = clips[SOURCE].shape
    for variant, clip in clips.items():
        if clip.shape != shape:
            raise InputError(f"{folder}: {variant} is {clip.shape}, but source is {shape}")
    masks = {
        kind: read_masks(Path(given), *shape[:3])
        for kind, given in (("target", case.target_mask), ("source", case.source_mask))
        if given is not None
    }
    region = masks.get("target", masks.get("source"))
    if region is not None and not region.any():
        raise InputError(f"case {name}: its masks are black everywhere; the product must be white")
    background = background_region(list(masks.values()), dilate_px) if masks else None
    photo = _read_photo(name, case, shape, banks)
    return EditCase(name, clips, photo, region, background, case.target_prompt)


def _read(path: Path) -> Frames:
    if not path.is_file():
        raise InputError(f"{path}: missing; flowalign_edit must write it for every case")
    return read_clip(path).frames


def _read_photo(
    name: str, case: Case, shape: tuple[int, ...], banks: Path | None
) -> ProductPhoto | None:
    """The product photo on the clip's grid, whatever part of it the reference bank was given."""
    path = find_reference_photo(name, case, banks)
    if path is None:
        return None
    if case.target_image == INFRARED_REFERENCE:  # a whole frame, which has no backdrop
        return ProductPhoto(load_product_image(path, shape[1], shape[2], "all").pixels, None)
    mask = Path(case.target_image_mask) if case.target_image_mask else None
    image = load_product_image(path, shape[1], shape[2], "mask" if mask else "auto", mask)
    if image.keeps_all:
        logger.warning("case %s: its photo has no plain backdrop; only whole-frame CLIP-I", name)
        return ProductPhoto(image.pixels, None)
    return ProductPhoto(image.pixels, image.mask)
