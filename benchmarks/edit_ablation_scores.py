"""The measures an ablation of the editing is judged by."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbones.video.edit_figures import centroid_error, mask_iou
from backbones.video.reader_model import WEIGHTS, Reader, load_reader, read_clips
from refract.editing.reference.photo import find_reference_photo
from refract.evaluation.edits.clips import load_edit_case
from refract.evaluation.edits.evaluation import PLAIN, RESULT, SOURCE
from refract.evaluation.edits.scores import CaseScorer, EditCase
from refract.models.clip import ClipModel, load_clip
from refract.models.identity import model_identity
from refract.params.cases import Case
from refract.params.evaluate import Evaluate
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import hash_file

Scores = dict[str, float | None]  # None where a measure has no value, e.g. motion of a still clip

TOGETHER = 2  # clips a decoding; a lone one is decoded beside a copy of itself and costs as much


class AblationScorer:
    """Scores edited clips by the evaluation's own measures and, with a reader, by where it sees
    the product."""

    def __init__(self, params: Evaluate, reader: Path | None) -> None:
        """reader: folder of the video recipe's reader; None leaves its measures out."""
        self.dilate_px = params.dilate_px
        self.clip: ClipModel = load_clip(
            params.clip_model, params.clip_revision, torch.device("cpu")
        )
        self.reader: Reader | None = None if reader is None else load_reader(reader)
        self.facts: dict[str, object] = {
            "clip": model_identity(params.clip_model, params.clip_revision),
            "dilate_px": params.dilate_px,
            "reader": None if reader is None else hash_file(reader / WEIGHTS),
        }
        self._judged: dict[str, EditCase] = {}
        self._inputs: dict[str, dict[str, str]] = {}

    @cached_property
    def code(self) -> list[Path]:
        """Files that decide a score."""
        own = closure(
            "refract.evaluation.edits.scores",
            "refract.evaluation.edits.clips",
            "refract.models.wan_latents",
        )
        read = closure("backbones.video.edit_figures", "backbones.video.reader_model")
        return [Path(__file__), *own, *(read if self.reader else [])]

    def inputs(self, name: str, case: Case) -> dict[str, str]:
        """Hashes of the files that a case is judged by, besides its video."""
        if name not in self._inputs:
            self._inputs[name] = _hash_inputs(name, case)
        return self._inputs[name]

    def score(self, name: str, case: Case, source: Path, frames: NDArray[np.uint8]) -> Scores:
        """source: the clip before the edit, as the stage keeps it. frames: [T, H, W, 3]."""
        judged = self._judge(name, case, source)
        clips = {SOURCE: judged.source, RESULT: frames}
        # without the perceptual distance, which takes longer than all other measures
        scorer = CaseScorer(replace(judged, clips=clips), self.clip, None)
        scores = dict(scorer.scores(RESULT))
        if self.reader is not None and case.target_mask is not None:
            assert judged.region is not None
            seen = read_clips(self.reader, frames[None]).masks[0]
            scores["centroid_error_px"] = centroid_error(seen, judged.region)
            scores["iou_to_target"] = mask_iou(seen, judged.region)
        return {metric: x if math.isfinite(x) else None for metric, x in scores.items()}

    def _judge(self, name: str, case: Case, source: Path) -> EditCase:
        """Photo, regions and source clip by the evaluation's loader, which expects edits too."""
        if name not in self._judged:
            with TemporaryDirectory() as folder:
                home = Path(folder, name)
                home.mkdir()
                for variant in (SOURCE, PLAIN, RESULT):
                    (home / f"{variant}.mkv").symlink_to(source.resolve())
                self._judged[name] = load_edit_case(name, case, Path(folder), self.dilate_px)
        return self._judged[name]


def _hash_inputs(name: str, case: Case) -> dict[str, str]:
    files = [find_reference_photo(name, case)]
    files += [Path(case.target_image_mask)] if case.target_image_mask else []
    for folder in filter(None, (case.source_mask, case.target_mask)):
        files += sorted(path for path in Path(folder).glob("*") if path.is_file())
    return {str(path): hash_file(path) for path in files if path is not None}


def dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
