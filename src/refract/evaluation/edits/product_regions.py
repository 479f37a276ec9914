"""Which region each case's product was judged by, or why by none."""

import logging
from collections import Counter
from collections.abc import Mapping
from math import isfinite

from refract.evaluation.edits.case_files import CaseFiles
from refract.evaluation.edits.product_fidelity import FIDELITY_KEY, FOUND_KEY
from refract.evaluation.measures.product import ClipScores

logger = logging.getLogger(__name__)

TARGET_MASK, SOURCE_MASK = "target_mask", "source_mask in its place"
FOUND, NOT_FOUND = "no masks, found by the plain edit", "no masks, the plain edit tells none"
NO_PHOTO, NO_BACKDROP = "no product photo", "no plain backdrop in the photo"


def product_region(files: CaseFiles, scores: ClipScores) -> str:
    """What gave the region of a case whose edit has these scores, or what was missing."""
    if FIDELITY_KEY in scores:
        return TARGET_MASK if "target" in files.masks else SOURCE_MASK
    if FOUND_KEY in scores:
        return FOUND if isfinite(scores[FOUND_KEY]) else NOT_FOUND
    return NO_PHOTO if files.photo is None else NO_BACKDROP


def count_regions(regions: Mapping[str, str]) -> dict[str, int]:
    """How many cases had each; the log names those that no target mask judges."""
    for reason in sorted(set(regions.values()) - {TARGET_MASK}):
        names = [name for name, given in regions.items() if given == reason]
        key = {SOURCE_MASK: FIDELITY_KEY, FOUND: FOUND_KEY}.get(reason, "left out")
        logger.warning("product region: %s: %s, of %s", reason, key, ", ".join(names))
    return dict(sorted(Counter(regions.values()).items()))
