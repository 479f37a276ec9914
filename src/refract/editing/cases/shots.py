"""The shots of a template that are edited, each as a clip of its own."""

import logging
from bisect import bisect_left
from itertools import pairwise
from math import inf

from refract.base.errors import InputError
from refract.editing.cases.request import Shot
from refract.editing.cases.template import Template
from refract.params.cases import Case

logger = logging.getLogger(__name__)


def find_shots(name: str, case: Case, template: Template, most: int | None) -> list[Shot]:
    """The shots of a case in order, as its `clip` and `shots` ask; the rest passes through.

    most: frames that are edited of each, from its first; None for all.
    Raises InputError naming the key for times that the template does not have.
    """
    start, end = _clip(name, case, template)
    if isinstance(case.shots, tuple):
        spans = [_listed(name, template, span, (start, end)) for span in case.shots]
    elif case.shots == "auto":
        borders = [start, *(cut for cut in template.cuts if start < cut < end), end]
        spans = list(pairwise(borders))
    else:
        spans = [(start, end)]
    return [Shot(first, min(behind - first, most or behind)) for first, behind in spans]


def _clip(name: str, case: Case, template: Template) -> tuple[int, int]:
    """First frame of the clip and the one behind its last."""
    last = template.times[-1]
    start, asked = case.clip.start, case.clip.end
    end = inf if asked is None else asked
    if start > last:
        raise InputError(
            f"cases.{name}.clip.start = {start:g}: the last frame of {case.video} begins at "
            f"{last:.2f} s"
        )
    if template.missing and end > template.end:
        raise InputError(
            f"cases.{name}: video {case.video} is cut off: it ends {template.missing:.2f} s before "
            f"its header says; give the whole file, or clip.end = {template.end:.2f} for the rest"
        )
    if asked is not None:
        _warn_beyond(f"cases.{name}.clip.end", asked, template)
    first, behind = _frames(template, start, end)
    if first == behind:
        raise InputError(
            f"cases.{name}.clip: holds no frame of {case.video}: none begins between {start:g} and "
            f"{end:g} s"
        )
    return first, behind


def _listed(
    name: str, template: Template, span: tuple[float, float], clip: tuple[int, int]
) -> tuple[int, int]:
    _warn_beyond(f"cases.{name}.shots", span[1], template)
    first, behind = _frames(template, *span)
    if not clip[0] <= first < behind <= clip[1]:
        times = [*template.times, template.end]
        raise InputError(
            f"cases.{name}.shots: [{span[0]:g}, {span[1]:g}] holds no frame of the clip, or goes "
            f"beyond it: it lasts from {times[clip[0]]:.2f} to {times[clip[1]]:.2f} s"
        )
    return first, behind


def _warn_beyond(key: str, end: float, template: Template) -> None:
    """Tell of a time that may well be a slip; a frame more is how people round."""
    if end > template.end + 1 / template.fps:
        logger.warning(
            "%s = %g s, but the video ends at %.2f s: so far it goes", key, end, template.end
        )


def _frames(template: Template, start: float, end: float) -> tuple[int, int]:
    """Frames that begin in [start, end) seconds, as the first and the one behind the last.

    A time that a user reads off a player is rounded: a frame counts from a millisecond before.
    """
    first, behind = (bisect_left(template.times, time - 1e-3) for time in (start, end))
    return first, behind
