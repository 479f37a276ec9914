"""What is to be made of a case: its shots, each with its edits and baselines, and their keys."""

import logging
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from refract.base.errors import InputError
from refract.editing.cases.baselines import baseline_requests
from refract.editing.cases.keys import EditKeys, PlainKeys, edit_keys, plain_keys
from refract.editing.cases.request import EditRequest, Shot, ShotRequest
from refract.editing.cases.shots import find_shots
from refract.editing.cases.template import Template, template_of
from refract.media.frame_size import cut_share
from refract.pipeline.item_store import ItemStore

logger = logging.getLogger(__name__)

_MOST_CUT = 0.02  # of the picture at a side, which an automatic frame stays below where it can


_Keys = TypeVar("_Keys", bound=PlainKeys, covariant=True)


class ShotEdit(NamedTuple, Generic[_Keys]):
    """One shot to edit, and the keys of its items."""

    request: ShotRequest
    keys: _Keys


class PlannedCase(NamedTuple):
    """A case shot by shot. baselines: sampler -> an edit of each shot, without reference."""

    request: EditRequest
    template: Template
    shots: list[ShotEdit[EditKeys]]
    baselines: dict[str, list[ShotEdit[PlainKeys]]]

    @property
    def frame(self) -> tuple[int, int]:
        """Width and height of the edit."""
        return self.shots[0].request.frame

    def edits(self) -> list[ShotEdit[PlainKeys]]:
        return [*self.shots, *(edit for edits in self.baselines.values() for edit in edits)]


def plan_case(request: EditRequest, store: ItemStore, identity: str) -> PlannedCase:
    """The shots of a case and the keys of all that is made of them.

    identity: of the model that edits, by its contents.
    Raises InputError where an input file cannot be read, or the template lacks what is asked for.
    """
    template, shots = cut_into_shots(request)

    def baseline(of: EditRequest) -> list[ShotEdit[PlainKeys]]:
        own = [ShotRequest.of(of, shot.shot, shot.frame, shot.fps) for shot in shots]
        return [ShotEdit(shot, plain_keys(shot, store, identity)) for shot in own]

    return PlannedCase(
        request,
        template,
        [ShotEdit(shot, edit_keys(shot, store, identity)) for shot in shots],
        {sampler: baseline(of) for sampler, of in baseline_requests(request).items()},
    )


def cut_into_shots(request: EditRequest) -> tuple[Template, list[ShotRequest]]:
    """The template of a case, and each shot of it that is to be edited; one at least."""
    name, case = request.name, request.case
    try:
        template = template_of(Path(case.video), case.fps)
    except InputError as error:
        raise InputError(f"case {name}: {error}") from error
    shots = find_shots(name, case, template, request.params.flowalign.frames)
    if case.region_mask is not None and not request.knows_region:
        logger.warning(
            "%s: flowalign.sampler %s knows no region: region_mask bounds final.mp4 alone",
            request.label, request.sampler,
        )  # fmt: skip
    frame = _frame(request, template)
    return template, [ShotRequest.of(request, shot, frame, template.fps) for shot in shots]


def _frame(request: EditRequest, template: Template) -> tuple[int, int]:
    """Width and height of the edit; what it cuts off the picture is warned of."""
    shown = (template.width, template.height)
    frame = request.params.flowalign.frame_of(*shown)
    cut = cut_share(*shown, *frame)
    if cut > _MOST_CUT:
        logger.warning(
            "%s: %d x %d pixels are edited in a frame of %d x %d, which cuts %.1f %% off each of "
            "two sides; there the deliverable shows the template",
            request.label, *shown, *frame, 100 * cut,
        )  # fmt: skip
    return frame


def shot_facts(case: PlannedCase) -> list[dict[str, float]]:
    """Where each edited shot lies in the template: frames, counted at the case's rate, and s."""
    times = [*case.template.times, case.template.end]

    def facts(shot: Shot) -> dict[str, float]:
        behind = shot.first + shot.frames
        return {**shot._asdict(), "start": times[shot.first], "end": times[behind]}

    return [facts(edit.request.shot) for edit in case.shots]
