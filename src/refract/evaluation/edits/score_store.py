"""Measures of a clip as items of the store: a sweep measures the clips that changed, no others.

Source, plain edit, baselines and most cheats of a case are the same at every point of a sweep.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refract.evaluation.edits.scores import CaseScorer
from refract.evaluation.measures.product import Measured
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, state_root

_FILE = "measured.json"


class ScoreStore:
    """Measures by what they depend on: pixels, masks and words of the case, and who judged."""

    def __init__(self, judged_by: Mapping[str, Any]) -> None:
        """judged_by: what names the models that measure, beside the code."""
        self.store = ItemStore(state_root(), "evaluate")
        self.judged_by = dict(judged_by)

    def measure(self, scorer: CaseScorer, variant: str) -> Measured:
        """The variant's measures, from the store or computed now and kept there."""
        key = self._key(scorer, variant)
        if (slot := self.store.get(key)) is not None:
            kept = json.loads((slot / _FILE).read_text(encoding="utf-8"))
            return Measured(kept["scores"], kept["series"])
        measured = scorer.measured(variant)
        with self.store.create(key) as folder:
            text = json.dumps(measured._asdict())  # nan and all: no file for others to read
            (folder / _FILE).write_text(text, encoding="utf-8")
        return measured

    def _key(self, scorer: CaseScorer, variant: str) -> str:
        case = scorer.case
        pixels = {
            "clip": case.clips[variant],
            "source": case.source,
            "region": case.region,
            "background": case.background,
            "photo": None if case.photo is None else case.photo.pixels,
            "foreground": None if case.photo is None else case.photo.foreground,
        }
        return self.store.key(
            params={"prompt": case.prompt, "judged_by": self.judged_by},
            inputs={name: _digest(value) for name, value in pixels.items() if value is not None},
            code=closure("refract.evaluation.edits.scores"),
        )


def _digest(values: NDArray[Any]) -> str:
    """sha256 over kind, shape and content of an array."""
    digest = hashlib.sha256(f"{values.dtype} {values.shape} ".encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
