"""Measures of a clip as items of the store: a sweep measures the clips that changed, no others.

Source, plain edit, baselines and most cheats of a case are the same at every point of a sweep.
Where every clip of a case is known, none of them is decoded and no model loads.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from refract.evaluation.edits.case_files import CaseFiles
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


class CaseMeasures:
    """The measures of one case's variants, from the store or computed now and kept there."""

    def __init__(self, files: CaseFiles, judge: Judge, store: ItemStore) -> None:
        self.files, self.judge, self.store = files, judge, store

    def all(self) -> dict[str, Measured]:
        """By variant; without the cheats for want of a photo that tells the product."""
        measured = {variant: self._of(variant) for variant in self.files.variants}
        return {variant: found for variant, found in measured.items() if found is not None}

    def _of(self, variant: str) -> Measured | None:
        settings, digests = self.files.facts(variant)
        key = self.store.key(
            params=settings | {"judged_by": self.judge.of_edits},
            inputs=digests,
            code=closure(*_CODE),
        )

        def write(folder: Path) -> None:
            made = variant in self._scorer.case.clips
            measured = self._scorer.measured(variant)._asdict() if made else None
            # nan and all: no file for others to read
            (folder / _FILE).write_text(json.dumps(measured), encoding="utf-8")

        slot = self.store.get_or_make(key, write)
        kept = json.loads((slot / _FILE).read_text(encoding="utf-8"))
        return None if kept is None else Measured(**kept)

    @cached_property
    def _scorer(self) -> "CaseScorer":
        from refract.evaluation.edits.baselines import with_cheats
        from refract.evaluation.edits.clips import load_edit_case
        from refract.evaluation.edits.scores import CaseScorer

        judge = self.judge
        case = with_cheats(load_edit_case(self.files))
        return CaseScorer(case, judge.clip, judge.lpips, judge.dino)
