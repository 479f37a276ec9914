"""The edits of an ablation: every case of a variant at a seed, by the stages' own classes.

Source branches and scores lie in an item store, so that variants share what they have in common and
a killed run goes on. Edited clips are not kept.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.edit_ablation_scores import TOGETHER, AblationScorer, Scores, dump
from benchmarks.edit_ablation_variants import Changes, Settings, make_settings
from benchmarks.machine import describe_machine
from refract.base.atomic import write_atomic
from refract.base.errors import InputError
from refract.editing.cases.items import SOURCE_CLIP, EditKeys, EditRequest, edit_keys
from refract.editing.cases.latent_case import LatentCaseEdit
from refract.editing.reference.job import BankJob
from refract.editing.reference.photo import find_reference_photo
from refract.models.identity import model_identity
from refract.models.wan import WanModel
from refract.models.wan_latents import decode_clips
from refract.models.wan_text_cache import embed_prompts
from refract.params.cases import Case, with_overrides
from refract.pipeline.device import pick_device
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, state_root

logger = logging.getLogger(__name__)

_SCORES = "scores.json"


@dataclass(frozen=True)
class Edit:
    """One edit to score. strength: of the reference, 0 for the plain edit. key: of its score."""

    request: EditRequest
    keys: EditKeys
    strength: float
    key: str


class CasePair(NamedTuple):
    """A case's edit by the variant, and the plain edit by the same settings."""

    edit: Edit
    plain: Edit


class AblationRuns:
    """Runs variants of one params.yaml; the model is loaded once and only where it is needed."""

    def __init__(
        self,
        document: Mapping[str, Any],
        cases: Mapping[str, Case],
        work: Path,
        scorer: AblationScorer,
        *,
        banks: str = "banks",
    ) -> None:
        """document: params.yaml. work: folder of the results, which `load_results` reads.

        banks: folder below `work`, which no other process may use.
        """
        self.document, self.cases, self.work, self.scorer = document, cases, work, scorer
        self.video = make_settings(document, {}, 0).edit.video_model
        self.identity = model_identity(self.video.path, self.video.revision)
        self.model = WanModel(self.video.path, self.video.revision, self.video.dtype, pick_device())
        self.items = ItemStore(state_root(), "edit_ablations")
        self.edits, self.cpu_s = 0, 0.0
        self._code = closure(
            "refract.editing.cases.latent_case", "refract.editing.reference.making"
        )
        self._bank_folder = work / banks
        self._contexts: dict[str, Tensor] = {}

    def run(self, variant: str, changes: Changes, seed: int) -> Path:
        """Edit and score every case, unless the result file is there; returns that file."""
        pairs = self._pairs(make_settings(self.document, changes, seed))
        keys = {name: [edit.key for edit in pair] for name, pair in pairs.items()}
        key = hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()
        path = result_path(self.work, variant, seed)
        if path.is_file() and json.loads(path.read_text())["key"] == key:
            return path
        self._compute([edit for pair in pairs.values() for edit in pair])
        result = {
            "variant": variant,
            "seed": seed,
            "changes": dict(changes),
            "key": key,
            "made_with": self.made_with(),
            "machine": describe_machine(self.model.device, self.video.dtype),
            "cases": {
                name: {"edit": self._scores(pair.edit), "plain": self._scores(pair.plain)}
                for name, pair in pairs.items()
            },
        }
        write_atomic(path, lambda temporary: temporary.write_text(dump(result)))
        return path

    def made_with(self) -> str:
        """A digest of code, models and measures, by which results of different ones are told."""
        return self.items.key(
            params=self.scorer.facts,
            inputs={},
            code=[*self._code, *self.scorer.code],
            model=self.identity,
        )[:12]

    def _pairs(self, settings: Settings) -> dict[str, CasePair]:
        banks = self._banks(settings)
        pairs = {}
        for name, case in self.cases.items():
            own = with_overrides(settings.edit, name, case)
            bank = banks / f"{name}.safetensors"
            photo = find_reference_photo(name, case)
            request = EditRequest(name, case, own, bank if bank.is_file() else None, photo)
            keys = edit_keys(request, self.items, self.identity)
            strength = request.result_strength
            edited = keys.variants.get(strength, keys.plain)
            pairs[name] = CasePair(
                Edit(request, keys, strength, self._score_key(request, edited)),
                Edit(request, keys, 0.0, self._score_key(request, keys.plain)),
            )
        return pairs

    def _score_key(self, request: EditRequest, edit: str) -> str:
        return self.items.key(
            params={"edit": edit, **self.scorer.facts},
            inputs=self.scorer.inputs(request.name, request.case),
            code=[*self._code, *self.scorer.code],
        )

    def _banks(self, settings: Settings) -> Path:
        """Folder of the banks, made by the stage's job where it is not there."""
        text = settings.bank.model_dump_json()
        folder = self._bank_folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        job = BankJob(settings.bank)
        job.__dict__["model"] = self.model  # loaded once for everything
        own = {
            name: (case, with_overrides(settings.bank, name, case))
            for name, case in self.cases.items()
        }
        with torch.inference_mode():
            job.run(own, folder)
        return folder

    def _compute(self, edits: Sequence[Edit]) -> None:
        """Score what the store lacks, two clips at a time."""
        missing = {edit.key: edit for edit in edits if self.items.get(edit.key) is None}
        self._embed([edit.request for edit in missing.values()])
        for together in _batches(list(missing.values()), TOGETHER):
            began = time.process_time()
            with torch.inference_mode():
                latents = [self._latents(edit) for edit in together]
                clips = decode_clips(self.model.vae, torch.cat(latents))
            for edit, frames in zip(together, clips, strict=True):
                source = self.items.folder / edit.keys.source / SOURCE_CLIP
                scores = self.scorer.score(edit.request.name, edit.request.case, source, frames)
                with self.items.create(edit.key) as folder:
                    (folder / _SCORES).write_text(dump(scores))
            self.cpu_s += time.process_time() - began
            self.edits += len(together)

    def _latents(self, edit: Edit) -> Tensor:
        """On the source branch of the store, which is made where it is missing."""
        slot = self.items.folder / edit.keys.source
        case = LatentCaseEdit(self.model, edit.request, self._contexts, slot)
        if self.items.get(edit.keys.source) is None:
            with self.items.create(edit.keys.source) as folder:
                case.write_source(folder)
        try:
            return case.latents(edit.strength)
        except InputError as error:
            raise InputError(f"case {edit.request.name}: {error}") from error

    def _embed(self, requests: Sequence[EditRequest]) -> None:
        """Embeddings of prompts that are new."""
        prompts, may_be_empty = {}, "flowalign.negative_prompt"
        for request in requests:
            for key in ("source_prompt", "target_prompt"):
                prompts[f"cases.{request.name}.{key}"] = getattr(request.case, key)
            if request.sampler != "flowalign":
                prompts[may_be_empty] = request.params.flowalign.negative_prompt
        new = {where: text for where, text in prompts.items() if text not in self._contexts}
        if new:
            self._contexts |= embed_prompts(
                new, self.model, self.video, self.identity, state_root(), [may_be_empty]
            )

    def _scores(self, edit: Edit) -> Scores:
        scores: Scores = json.loads((self.items.folder / edit.key / _SCORES).read_text())
        return scores


def result_path(work: Path, variant: str, seed: int) -> Path:
    return work / "results" / f"{variant.replace(',', '').replace(' ', '_')}.{seed}.json"


def _batches(edits: Sequence[Edit], count: int) -> Iterator[Sequence[Edit]]:
    for start in range(0, len(edits), count):
        yield edits[start : start + count]
