"""The folder of a case: its shots one after another, its views, its deliverable, its facts."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from refract.editing.cases.joining import join_clips
from refract.editing.cases.keys import PlainKeys, settings_read
from refract.editing.cases.outputs import (
    BASELINES_FOLDER,
    CURVE_FOLDER,
    PLAIN_CLIP,
    REFERENCE_CLIP,
    SOURCE_CLIP,
)
from refract.editing.cases.plan import PlannedCase, shot_facts
from refract.editing.cases.request import region_files
from refract.editing.cases.views import write_views
from refract.editing.reference.bank import ReferenceBank
from refract.params.cases import INFRARED_REFERENCE
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, materialise

NO_SOURCE_MASK = "vace without source_mask"


class FrameWork(NamedTuple):
    """frames: of which the item is made. write: fills a folder and tells how many are done."""

    frames: int
    write: Callable[[Path, Callable[[int], Any]], None]


class CaseFolder:
    """Makes what is made of a case's finished edits; the source branches stay in the store."""

    def __init__(self, case: PlannedCase, store: ItemStore) -> None:
        self.case, self.store = case, store

    def items(self) -> dict[str, FrameWork]:
        """Key -> how the item is made."""
        shown = sum(edit.request.shot.frames for edit in self.case.shots)
        items = {self._view: FrameWork(shown, self._write_views)}
        if self.case.request.params.deliver.final:
            items[self._final] = FrameWork(len(self.case.template.times), self._write_final)
        return items

    @cached_property
    def _view(self) -> str:
        edits, photo = self.case.shots, self.case.request.photo
        return self.store.key(
            params={"plain": [edit.keys.plain for edit in edits], "result": self._results},
            inputs={"photo": hash_file(photo)} if photo else {},
            code=closure("refract.editing.cases.views"),
        )

    @cached_property
    def _final(self) -> str:
        request, edits = self.case.request, self.case.shots
        files = {"video": Path(request.case.video), **region_files(request.case)}
        return self.store.key(
            params={
                "source": [edit.keys.source for edit in edits],
                "result": self._results,
                "shots": [edit.request.shot for edit in edits],
                "fps": request.case.fps,
                **request.params.deliver.model_dump(mode="json", exclude={"final"}),
            },
            inputs={name: hash_file(path) for name, path in files.items()},
            code=closure("refract.editing.deliver.final_clip"),
        )

    @property
    def _results(self) -> list[str]:
        """Key of the edit that was asked for, of each shot."""
        strength = self.case.request.result_strength
        return [edit.keys.of(strength) for edit in self.case.shots]

    def fill(self, folder: Path) -> None:
        """Lay out the folder, every item being in the store."""
        folder.mkdir()
        join_clips(self._sources(), folder / SOURCE_CLIP)
        join_clips(self._edits(0), folder / PLAIN_CLIP)
        join_clips(self._edits(self.case.request.result_strength), folder / REFERENCE_CLIP)
        for strength in self.case.request.curve:
            join_clips(self._edits(strength), folder / CURVE_FOLDER / f"{strength:g}.mkv")
        for sampler, edits in self.case.baselines.items():
            clips = [self._plain(edit.keys) for edit in edits]
            join_clips(clips, folder / BASELINES_FOLDER / f"{sampler}.mkv")
        for key in self.items():
            materialise(self.store.folder / key, folder)

    def facts(self, model: str) -> dict[str, Any]:
        """What info.json tells of the case. model: identity of the one that edits it."""
        request, template = self.case.request, self.case.template
        return {
            "video": request.case.video,
            "shots": shot_facts(self.case),
            "fps": template.fps,
            "frame": list(self.case.frame),
            "source_prompt": request.case.source_prompt,
            "target_prompt": request.case.target_prompt,
            "product_image": str(request.photo) if request.photo else None,
            "reference": request.has_reference,
            "result_strength": request.result_strength,
            "baselines": {
                sampler: settings_read(edits[0].request.params.flowalign)
                for sampler, edits in self.case.baselines.items()
            },
            "fallbacks": self._fallbacks(),
            "model": model,
            "settings": request.params.model_dump(mode="json", exclude={"video_model"}),
        }

    def _sources(self) -> list[Path]:
        return [self.store.folder / edit.keys.source / SOURCE_CLIP for edit in self.case.shots]

    def _edits(self, strength: float) -> list[Path]:
        """The lossless clips of the edit at a strength, a shot each; the plain ones at 0."""
        return [
            self.store.folder / key / REFERENCE_CLIP
            if (key := edit.keys.variants.get(strength))
            else self._plain(edit.keys)
            for edit in self.case.shots
        ]

    def _plain(self, keys: PlainKeys) -> Path:
        return self.store.folder / keys.plain / PLAIN_CLIP

    def _write_views(self, folder: Path, done: Callable[[int], Any]) -> None:
        request = self.case.request
        result = self._edits(request.result_strength)
        write_views(
            folder, self._sources(), self._edits(0), result, request.photo, self.case.template.fps
        )
        done(sum(edit.request.shot.frames for edit in self.case.shots))

    def _write_final(self, folder: Path, done: Callable[[int], Any]) -> None:
        # here, since it costs the start of libav's own libraries
        from refract.editing.deliver.final_clip import EditedShot, write_final

        request, region = self.case.request, self.case.request.case.region_mask
        results = self._edits(request.result_strength)
        shots = [
            EditedShot(edit.request.shot.first, source, result)
            for edit, source, result in zip(self.case.shots, self._sources(), results, strict=True)
        ]
        write_final(
            folder,
            Path(request.case.video),
            shots,
            request.params.deliver,
            fps=request.case.fps,
            region_mask=None if region is None else Path(region),
            on_frame=lambda: done(1),
        )

    def _fallbacks(self) -> list[str]:
        """What edit and deliverable had to do without; empty for most."""
        from refract.editing.deliver.soundtrack import reencoded_sound

        request = self.case.request
        sound = reencoded_sound(Path(request.case.video)) if request.params.deliver.final else []
        return [*self._edit_fallbacks(), *sound]

    def _edit_fallbacks(self) -> list[str]:
        """Those of the edit, its generated reference included."""
        request = self.case.request
        if request.sampler == "vace":
            return [] if request.case.source_mask else [NO_SOURCE_MASK]
        if request.bank is None or request.case.target_image != INFRARED_REFERENCE:
            return []
        return list(ReferenceBank.load(request.bank).facts.get("fallbacks", ()))
