"""Edit every case: plain, and with its reference at each strength of the curve."""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from refract.base.atomic import replace_directory
from refract.base.errors import InputError
from refract.base.files import write_info
from refract.editing.cases.baselines import baseline_requests
from refract.editing.cases.keys import EditKeys, PlainKeys, edit_keys, plain_keys, settings_read
from refract.editing.cases.models import EditModels
from refract.editing.cases.outputs import (
    BASELINES_FOLDER,
    CURVE_FOLDER,
    PLAIN_CLIP,
    REFERENCE_CLIP,
    SOURCE_CLIP,
)
from refract.editing.cases.request import EditRequest
from refract.editing.cases.views import write_views
from refract.editing.reference.bank import ReferenceBank
from refract.params.cases import INFRARED_REFERENCE
from refract.params.edit_stage import EditParams
from refract.pipeline.device import device_kind
from refract.pipeline.item_store import ItemStore, materialise, state_root
from refract.pipeline.processes import Processes, joined_processes
from refract.pipeline.shared_items import compute_items, grouped, own_share, progress_bar

logger = logging.getLogger(__name__)

NO_SOURCE_MASK = "vace without source_mask"


class Work(NamedTuple):
    """One edit to have: a case's own, or one of its baselines."""

    request: EditRequest
    keys: PlainKeys

    @property
    def view(self) -> str | None:
        """Key of the item that is made of the edits alone."""
        return self.keys.view if isinstance(self.keys, EditKeys) else None


class PlannedCase(NamedTuple):
    """One case with the keys of its items, and its baselines by sampler."""

    request: EditRequest
    keys: EditKeys
    baselines: dict[str, Work]

    def works(self) -> list[Work]:
        return [Work(self.request, self.keys), *self.baselines.values()]


class _Plan(NamedTuple):
    """Every case to have, the keys that the store lacks, and how many items it has."""

    cases: list[PlannedCase]
    missing: frozenset[str]
    hits: int


class EditJob:
    """Computes what the item store lacks; a model loads only where something is missing."""

    def __init__(self, params: EditParams) -> None:
        self.params = params
        self.store = ItemStore(state_root(), "flowalign_edit")
        self.models = EditModels(params.video_model)

    def run(self, requests: Sequence[EditRequest], output: Path) -> None:
        """Fill `output` with info.json and one folder a case.

        In it are {source,plain,reference}.mkv, curve/<strength>.mkv, baselines/<sampler>.mkv and
        the views. To be called by every process of a launch; they divide the edits, and the main
        one fills the folder.
        """
        with joined_processes() as processes:
            cases, missing, hits = processes.decide(lambda: self._plan(requests))
            self._compute(cases, missing, processes)
            computed = processes.total(self.store.computed)
            if not processes.main:
                return
            with replace_directory(output) as folder:
                for case in cases:
                    self._fill(folder / case.request.name, case)
                write_info(self._info(cases), folder)
            logger.info("edits: %d cases, %d items hit, %d computed", len(requests), hits, computed)

    def _plan(self, requests: Sequence[EditRequest]) -> _Plan:
        cases = [self._planned(request) for request in requests]
        keys = {key for case in cases for work in case.works() for key in work.keys.all()}
        missing = frozenset(key for key in keys if self.store.get(key) is None)
        return _Plan(cases, missing, self.store.hits)

    def _planned(self, request: EditRequest) -> PlannedCase:
        identity = self.models.of(request).identity  # baselines are by the same model
        baselines = {
            sampler: Work(baseline, plain_keys(baseline, self.store, identity))
            for sampler, baseline in baseline_requests(request).items()
        }
        return PlannedCase(request, edit_keys(request, self.store, identity), baselines)

    def _compute(
        self, cases: Sequence[PlannedCase], missing: frozenset[str], processes: Processes
    ) -> None:
        """Each process does the edits of its share, those with one source branch together."""

        def lacking(work: Work) -> frozenset[str]:
            return missing.intersection(work.keys.all())

        works = [work for case in cases for work in case.works() if lacking(work)]
        if not works:
            return
        edited = [work for work in works if lacking(work) - {work.view}]  # views need no model
        self.models.embed([work.request for work in edited], processes)
        share = own_share(processes, works, lacking)
        total = len(frozenset[str]().union(*map(lacking, share)))
        with progress_bar(processes, total, "edits", "item") as bar:

            def load() -> None:
                for request, _ in edited:
                    self.models.of(request).load()

            compute_items(grouped(share, lacking), self._compute_edits, self.store, bar, load)

    def _compute_edits(self, works: Sequence[Work], done: Callable[[int], Any]) -> None:
        for request, keys in works:
            try:
                self._compute_edit(request, keys, done)
            except InputError as error:
                raise InputError(f"{request.label}: {error}") from error

    def _compute_edit(
        self, request: EditRequest, keys: PlainKeys, done: Callable[[int], Any]
    ) -> None:
        source = self.store.folder / keys.source
        edit = cache(lambda: self.models.of(request).case_edit(request, source))

        def write_variant(strength: float, folder: Path) -> None:
            edit().write_variant(strength, folder)

        steps: list[tuple[str, Callable[[Path], None]]] = [
            (keys.source, lambda folder: edit().write_source(folder)),
            (keys.plain, lambda folder: edit().write_plain(folder)),
        ]
        if isinstance(keys, EditKeys):
            steps += [(key, partial(write_variant, s)) for s, key in keys.variants.items()]
            steps.append((keys.view, partial(self._write_views, request, keys)))
        for key, write in steps:
            if self.store.get(key) is None:
                with self.store.create(key) as folder, torch.inference_mode():
                    write(folder)
                done(1)

    def _write_views(self, request: EditRequest, keys: EditKeys, folder: Path) -> None:
        source = self.store.folder / keys.source / SOURCE_CLIP
        plain = self.store.folder / keys.plain / PLAIN_CLIP
        write_views(folder, source, plain, self._result(request, keys), request.photo)

    def _result(self, request: EditRequest, keys: EditKeys) -> Path:
        """The lossless clip of the edit asked for: the plain one at strength 0."""
        key = keys.variants.get(request.result_strength)
        if key is None:
            return self.store.folder / keys.plain / PLAIN_CLIP
        return self.store.folder / key / REFERENCE_CLIP

    def _fill(self, folder: Path, case: PlannedCase) -> None:
        """Lay out the outputs of one case; the source branches stay in the store."""
        folder.mkdir()
        store, request, keys = self.store.folder, case.request, case.keys
        _link(store / keys.source / SOURCE_CLIP, folder / SOURCE_CLIP)
        _link(store / keys.plain / PLAIN_CLIP, folder / PLAIN_CLIP)
        _link(self._result(request, keys), folder / REFERENCE_CLIP)
        materialise(store / keys.view, folder)
        for strength in request.curve:
            key = keys.variants.get(strength)
            clip = store / key / REFERENCE_CLIP if key else store / keys.plain / PLAIN_CLIP
            _link(clip, folder / CURVE_FOLDER / f"{strength:g}.mkv")
        for sampler, baseline in case.baselines.items():
            _link(
                store / baseline.keys.plain / PLAIN_CLIP,
                folder / BASELINES_FOLDER / f"{sampler}.mkv",
            )

    def _info(self, planned: Iterable[PlannedCase]) -> dict[str, Any]:
        cases = {case.request.name: self._case_info(case) for case in planned}
        return {
            "device": device_kind(),
            "dtype": self.params.video_model.dtype,
            "model": ", ".join(sorted({facts["model"] for facts in cases.values()})),
            "cases": cases,
        }

    def _case_info(self, case: PlannedCase) -> dict[str, Any]:
        request = case.request
        return {
            "video": request.case.video,
            "source_prompt": request.case.source_prompt,
            "target_prompt": request.case.target_prompt,
            "product_image": str(request.photo) if request.photo else None,
            "reference": request.has_reference,
            "result_strength": request.result_strength,
            "baselines": {
                sampler: settings_read(baseline.request.params.flowalign)
                for sampler, baseline in case.baselines.items()
            },
            "fallbacks": _fallbacks(request),
            "model": self.models.of(request).identity,
            "settings": request.params.model_dump(mode="json", exclude={"video_model"}),
        }


def _fallbacks(request: EditRequest) -> list[str]:
    """What an edit had to do without, its generated reference included; empty for most."""
    if request.sampler == "vace":
        return [] if request.case.source_mask else [NO_SOURCE_MASK]
    if request.bank is None or request.case.target_image != INFRARED_REFERENCE:
        return []
    return list(ReferenceBank.load(request.bank).facts.get("fallbacks", ()))


def _link(source: Path, target: Path) -> None:
    """Hard link where the file system allows, else copy."""
    target.parent.mkdir(exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        target.write_bytes(source.read_bytes())
