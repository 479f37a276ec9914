"""Measures of infrared pictures as items of the store, by their pixels and their scene's.

Baselines keep theirs when a model is trained anew, and so do all scenes but the one that changed.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refract.evaluation.infrared.scenes import Gray, TrueScene
from refract.evaluation.infrared.scores import PictureScores, SceneScorer
from refract.evaluation.judge import Judge
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore

_FILE = "measured.json"


class SceneMeasures:
    """The measures of pictures of one scene, from the store or computed now and kept there."""

    def __init__(self, scene: TrueScene, judge: Judge, store: ItemStore) -> None:
        self.scene, self.judge, self.store = scene, judge, store
        self._scorer: SceneScorer | None = None
        self._digests = {
            "visible": _digest(scene.visible),
            "truth": _digest(scene.infrared),
        }

    def measured(self, picture: Gray) -> PictureScores:
        key = self.store.key(
            params={"judged_by": self.judge.of_pictures},
            inputs=self._digests | {"picture": _digest(picture)},
            code=closure("refract.evaluation.infrared.scores"),
        )

        def write(folder: Path) -> None:
            if self._scorer is None:
                self._scorer = SceneScorer(self.scene, self.judge.lpips)
            # nan and all: no file for others to read
            text = json.dumps(self._scorer.measured(picture))
            (folder / _FILE).write_text(text, encoding="utf-8")

        slot = self.store.get_or_make(key, write)
        scores: PictureScores = json.loads((slot / _FILE).read_text(encoding="utf-8"))
        return scores


def _digest(values: NDArray[Any]) -> str:
    """sha256 over kind, shape and content of an array."""
    digest = hashlib.sha256(f"{values.dtype} {values.shape} ".encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
