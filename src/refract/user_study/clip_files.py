"""Where the clip of a method lies among the edits."""

import re
from pathlib import Path

from refract.edit_items import PLAIN_CLIP, REFERENCE_CLIP, SOURCE_CLIP
from refract.errors import InputError, shorten

_NAMED = {Path(name).stem: name for name in (REFERENCE_CLIP, PLAIN_CLIP, SOURCE_CLIP)}
_STRENGTH = re.compile(r"s(\d{3})")  # as in the metrics


def clip_path(edits: Path, case: str, method: str) -> Path:
    """The lossless clip of a method: reference, plain, source, or s030 for ref_strength 0.3."""
    if method in _NAMED:
        return edits / case / _NAMED[method]
    strength = _STRENGTH.fullmatch(method)
    if strength is None:
        raise InputError(
            f"method {shorten(method)}: must be {', '.join(_NAMED)} or a strength of the curve, "
            "such as s030 for 0.3"
        )
    return edits / case / "curve" / f"{int(strength[1]) / 100:g}.mkv"
