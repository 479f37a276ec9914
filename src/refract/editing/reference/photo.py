"""Where the files of a case are, and whether DVC watches them."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from refract.media.image_reading import PHOTO_SUFFIXES
from refract.params.cases import INFRARED_REFERENCE, Case

logger = logging.getLogger(__name__)

WATCHED = "products"  # the folder dvc.yaml lists as a dependency


def find_reference_photo(name: str, case: Case, banks: Path | None = None) -> Path | None:
    """The product photo of a case: the one it names, else <case>.* or product.* beside the clip.

    None where there is neither. The reference of `infer_ir` is generated: it lies beside the banks
    that extract_ref_banks wrote, and is None where these are not given.
    """
    if case.target_image == INFRARED_REFERENCE:
        return None if banks is None else banks / f"{name}.png"
    if case.target_image is not None:
        return Path(case.target_image)
    folder = Path(case.video).parent
    names = (stem + suffix for stem in (name, "product") for suffix in PHOTO_SUFFIXES)
    return next((path for path in map(folder.joinpath, names) if path.is_file()), None)


def warn_of_unwatched_files(cases: Mapping[str, Case], cases_path: Path) -> None:
    """Log a warning for each file outside `products` beside the cases file: DVC watches that."""
    watched = Path(os.path.realpath(cases_path)).parent / WATCHED  # no error in a loop of links
    for name, case in cases.items():
        photo = find_reference_photo(name, case)
        files = (case.video, photo, case.target_image_mask, case.first_frame_map, case.region_mask)
        for path in files:
            if path is not None and not Path(os.path.realpath(path)).is_relative_to(watched):
                logger.warning(
                    "case %s: %s lies outside %s: DVC does not see when it changes; "
                    "run `dvc repro --force` then",
                    name, path, cases_path.parent / WATCHED,
                )  # fmt: skip
