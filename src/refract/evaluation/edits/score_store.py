"""Measures of parts of clips as items of the store: a sweep measures the clips that changed.

Source, plain edit, baselines and most cheats of a case are the same at every point of a sweep.
Where every clip of a case is known, none of them is decoded and no model loads.
"""

import json
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from refract.evaluation.edits.case_files import CaseFiles
from refract.evaluation.edits.parts import Part
from refract.evaluation.judge import Judge
from refract.evaluation.measures.product import Measured
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore

if TYPE_CHECKING:
    from refract.evaluation.edits.scores import CaseScorer

_FILE = "measured.json"
_CODE = (
    "refract.evaluation.edits.clips", "refract.evaluation.edits.baselines", "refract.models.dino",
)  # fmt: skip


class PartMeasures:
    """The measures of a part of a case's variants, from the store or computed now and kept."""

    def __init__(self, files: CaseFiles, part: Part, judge: Judge, store: ItemStore) -> None:
        self.files, self.part, self.judge, self.store = files, part, judge, store

    @cached_property
    def keys(self) -> dict[str, str]:
        """By variant; clips that are equal share one."""
        return {variant: self._key(variant) for variant in self.files.variants}

    @property
    def missing(self) -> set[str]:
        """Keys of what is still to be measured."""
        return {key for key in self.keys.values() if self.store.get(key) is None}

    def all(self) -> dict[str, Measured]:
        """By variant; without the cheats for want of a photo that tells the product.

        The part is in memory while this runs, if any of it is.
        """
        scorer = cache(self._load)
        measured = {variant: self._of(variant, scorer) for variant in self.keys}
        return {variant: found for variant, found in measured.items() if found is not None}

    def _key(self, variant: str) -> str:
        settings, digests = self.files.facts(variant, self.part)
        return self.store.key(
            params=settings | {"judged_by": self.judge.of_edits},
            inputs=digests,
            code=closure(*_CODE),
        )

    def _of(self, variant: str, scorer: Callable[[], "CaseScorer"]) -> Measured | None:
        def write(folder: Path) -> None:
            made = variant in scorer().case.clips
            measured = scorer().measured(variant)._asdict() if made else None
            # nan and all: no file for others to read
            (folder / _FILE).write_text(json.dumps(measured), encoding="utf-8")

        slot = self.store.get_or_make(self.keys[variant], write)
        kept = json.loads((slot / _FILE).read_text(encoding="utf-8"))
        return None if kept is None else Measured(**kept)

    def _load(self) -> "CaseScorer":
        from refract.evaluation.edits.baselines import with_cheats
        from refract.evaluation.edits.clips import load_edit_case
        from refract.evaluation.edits.scores import CaseScorer

        judge = self.judge
        case = with_cheats(load_edit_case(self.files, self.part))
        return CaseScorer(case, judge.clip, judge.lpips, judge.dino)
