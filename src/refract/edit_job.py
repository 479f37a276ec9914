"""Edit every case: plain, and with its reference at each strength of the curve."""

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from refract.atomic import replace_directory
from refract.edit_items import (
    PLAIN_CLIP,
    REFERENCE_CLIP,
    SOURCE_CLIP,
    EditKeys,
    EditRequest,
    edit_keys,
)
from refract.edit_models import EditModels
from refract.edit_views import write_views
from refract.errors import InputError
from refract.item_store import ItemStore, materialise, state_root
from refract.params.edit_stage import EditParams

logger = logging.getLogger(__name__)

INFO_NAME = "info.json"


class EditJob:
    """Computes what the item store lacks; a model loads only where something is missing."""

    def __init__(self, params: EditParams) -> None:
        self.params = params
        self.store = ItemStore(state_root(), "flowalign_edit")
        self.models = EditModels(params.video_model)

    def run(self, requests: Sequence[EditRequest], output: Path) -> None:
        """Fill `output` with <case>/{source,plain,reference}.mkv, curve/, views, and info.json."""
        pairs = [(request, self._keys(request)) for request in requests]
        missing = [(request, own) for request, own in pairs if self._missing(own)]
        hits = self.store.hits
        if missing:
            self._compute(missing)
        with replace_directory(output) as folder:
            for request, own in pairs:
                self._fill(folder / request.name, request, own)
            text = json.dumps(self._info(requests), indent=2, sort_keys=True)
            (folder / INFO_NAME).write_text(text + "\n")
        logger.info(
            "edits: %d cases, %d items hit, %d computed",
            len(requests), hits, self.store.computed,
        )  # fmt: skip

    def _keys(self, request: EditRequest) -> EditKeys:
        return edit_keys(request, self.store, self.models.of(request).identity)

    def _missing(self, keys: EditKeys) -> int:
        everything = [keys.source, keys.plain, *keys.variants.values(), keys.view]
        return sum(self.store.get(key) is None for key in everything)

    def _compute(self, missing: Sequence[tuple[EditRequest, EditKeys]]) -> None:
        self.models.embed([request for request, _ in missing])
        total = sum(self._missing(keys) for _, keys in missing)
        with tqdm(total=total, desc="edits", unit="item", mininterval=1) as bar:
            for request, keys in missing:
                bar.set_postfix_str(request.name)
                try:
                    self._compute_case(request, keys, bar)
                except InputError as error:
                    raise InputError(f"case {request.name}: {error}") from error

    def _compute_case(self, request: EditRequest, keys: EditKeys, bar: Any) -> None:
        edit = self.models.of(request).case_edit(request, self.store.folder / keys.source)
        steps: list[tuple[str, Callable[[Path], None]]] = [
            (keys.source, edit.write_source),
            (keys.plain, edit.write_plain),
            *((key, partial(edit.write_variant, s)) for s, key in keys.variants.items()),
            (keys.view, partial(self._write_views, request, keys)),
        ]
        for key, write in steps:
            if self.store.get(key) is None:
                with self.store.create(key) as folder, torch.inference_mode():
                    write(folder)
                bar.update()

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

    def _fill(self, folder: Path, request: EditRequest, keys: EditKeys) -> None:
        """Lay out the outputs of one case; the source branch stays in the store."""
        folder.mkdir()
        store = self.store.folder
        _link(store / keys.source / SOURCE_CLIP, folder / SOURCE_CLIP)
        _link(store / keys.plain / PLAIN_CLIP, folder / PLAIN_CLIP)
        _link(self._result(request, keys), folder / REFERENCE_CLIP)
        materialise(store / keys.view, folder)
        for strength in request.curve:
            key = keys.variants.get(strength)
            clip = store / key / REFERENCE_CLIP if key else store / keys.plain / PLAIN_CLIP
            (folder / "curve").mkdir(exist_ok=True)
            _link(clip, folder / "curve" / f"{strength:g}.mkv")

    def _info(self, requests: Sequence[EditRequest]) -> dict[str, Any]:
        cases = {request.name: self._case_info(request) for request in requests}
        return {
            "device": self.models.device,
            "dtype": self.params.video_model.dtype,
            "model": ", ".join(sorted({facts["model"] for facts in cases.values()})),
            "cases": cases,
        }

    def _case_info(self, request: EditRequest) -> dict[str, Any]:
        return {
            "video": request.case.video,
            "source_prompt": request.case.source_prompt,
            "target_prompt": request.case.target_prompt,
            "product_image": str(request.photo) if request.photo else None,
            "reference": request.has_reference,
            "result_strength": request.result_strength,
            "model": self.models.of(request).identity,
            "settings": request.params.model_dump(mode="json", exclude={"video_model"}),
        }


def _link(source: Path, target: Path) -> None:
    """Hard link where the file system allows, else copy."""
    try:
        target.hardlink_to(source)
    except OSError:
        target.write_bytes(source.read_bytes())
