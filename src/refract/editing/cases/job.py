"""Edit every case: plain, and with its reference at each strength of the curve."""

import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from refract.base.atomic import replace_directory
from refract.base.errors import InputError
from refract.base.files import write_info
from refract.editing.cases.folder import CaseFolder, FrameWork
from refract.editing.cases.keys import EditKeys, PlainKeys
from refract.editing.cases.models import EditModels
from refract.editing.cases.plan import PlannedCase, ShotEdit, plan_case
from refract.editing.cases.request import EditRequest
from refract.params.edit_stage import EditParams
from refract.pipeline.device import device_kind
from refract.pipeline.item_store import ItemStore, state_root
from refract.pipeline.processes import Processes, joined_processes
from refract.pipeline.shared_items import compute_items, grouped, own_share, progress_bar

logger = logging.getLogger(__name__)


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
            self._edit(cases, missing, processes)
            processes.wait()  # what is made of the edits may need those of another process
            folders = [CaseFolder(case, self.store) for case in cases]
            self._make_files(folders, missing, processes)
            computed = processes.total(self.store.computed)
            if not processes.main:
                return
            with replace_directory(output) as temporary:
                for folder in folders:
                    folder.fill(temporary / folder.case.request.name)
                write_info(self._info(folders), temporary)
            logger.info("edits: %d cases, %d items hit, %d computed", len(requests), hits, computed)

    def _plan(self, requests: Sequence[EditRequest]) -> _Plan:
        cases = [
            plan_case(request, self.store, self.models.of(request).identity)
            for request in requests  # baselines are by the same model
        ]
        keys = {key for case in cases for edit in case.edits() for key in edit.keys.all()}
        keys.update(key for case in cases for key in CaseFolder(case, self.store).items())
        missing = frozenset(key for key in keys if self.store.get(key) is None)
        return _Plan(cases, missing, self.store.hits)

    def _edit(
        self, cases: Sequence[PlannedCase], missing: frozenset[str], processes: Processes
    ) -> None:
        """Each process does the edits of its share, those with one source branch together."""

        def lacking(edit: ShotEdit[PlainKeys]) -> frozenset[str]:
            return missing.intersection(edit.keys.all())

        edits = [edit for case in cases for edit in case.edits() if lacking(edit)]
        if not edits:
            return
        self.models.embed([edit.request for edit in edits], processes)
        share = own_share(processes, edits, lacking)
        steps = {key: edit.request.steps for edit in share for key in lacking(edit)}
        with progress_bar(processes, sum(steps.values()), "edits", "step") as bar:

            def load() -> None:
                for request, _ in edits:
                    self.models.of(request).load()

            compute_items(grouped(share, lacking), self._edit_shots, self.store, bar, load)

    def _edit_shots(self, edits: Sequence[ShotEdit[PlainKeys]], done: Callable[[int], Any]) -> None:
        for edit in edits:
            try:
                self._edit_shot(edit, done)
            except InputError as error:
                raise InputError(f"{edit.request.label}: {error}") from error

    def _edit_shot(self, edit: ShotEdit[PlainKeys], done: Callable[[int], Any]) -> None:
        request, keys, left = edit.request, edit.keys, 0

        def on_step() -> None:
            nonlocal left
            left -= 1
            done(1)

        source = self.store.folder / keys.source
        case_edit = cache(lambda: self.models.of(request).case_edit(request, source, on_step))

        def write_variant(strength: float, folder: Path) -> None:
            case_edit().write_variant(strength, folder)

        items: list[tuple[str, Callable[[Path], None]]] = [
            (keys.source, lambda folder: case_edit().write_source(folder)),
            (keys.plain, lambda folder: case_edit().write_plain(folder)),
        ]
        if isinstance(keys, EditKeys):
            items += [(key, partial(write_variant, s)) for s, key in keys.variants.items()]
        for key, write in items:
            if self.store.get(key) is None:
                left = request.steps
                with self.store.create(key) as folder, torch.inference_mode():
                    write(folder)
                done(left)  # of what tells no steps

    def _make_files(
        self, folders: Sequence[CaseFolder], missing: frozenset[str], processes: Processes
    ) -> None:
        """What is made of the edits, by cases divided among the processes."""

        def lacking(folder: CaseFolder) -> dict[str, FrameWork]:
            return {key: item for key, item in folder.items().items() if key in missing}

        def make(folder: CaseFolder, done: Callable[[int], Any]) -> None:
            for key, item in lacking(folder).items():
                if self.store.get(key) is None:  # two cases may have the same
                    with self.store.create(key) as slot:
                        item.write(slot, done)

        share = own_share(processes, list(filter(lacking, folders)), lacking)
        total = sum(item.frames for folder in share for item in lacking(folder).values())
        if share:
            with progress_bar(processes, total, "clips", "frame") as bar:
                compute_items(share, make, self.store, bar)
        processes.wait()

    def _info(self, folders: Sequence[CaseFolder]) -> dict[str, Any]:
        cases = {
            folder.case.request.name: folder.facts(self.models.of(folder.case.request).identity)
            for folder in folders
        }
        return {
            "device": device_kind(),
            "dtype": self.params.video_model.dtype,
            "model": ", ".join(sorted({facts["model"] for facts in cases.values()})),
            "cases": cases,
        }
