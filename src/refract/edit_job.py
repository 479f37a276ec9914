"""Edit every case: plain FlowAlign, and with its reference at each strength of the curve."""

import json
import logging
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from refract.atomic import replace_directory
from refract.device import pick_device
from refract.edit_items import (
    PLAIN_CLIP,
    REFERENCE_CLIP,
    SOURCE_BRANCH,
    SOURCE_CLIP,
    EditKeys,
    EditRequest,
    edit_keys,
)
from refract.edit_views import write_views
from refract.errors import InputError
from refract.flow_schedule import edit_sigmas
from refract.flowalign import Prompt
from refract.item_store import ItemStore, materialise, state_root
from refract.model_identity import model_identity
from refract.params.edit_stage import EditParams
from refract.plain_edit import FlowSettings, edit_plain
from refract.reference_bank import ReferenceBank
from refract.reference_edit import ReferenceSettings, edit_with_reference
from refract.source_branch import SourceBranch, compute_source_branch
from refract.video_io import Clip, read_clip, write_clip
from refract.wan_latents import decode_frames, encode_frames
from refract.wan_model import WanModel
from refract.wan_text_cache import embed_prompts
from refract.wan_velocity import WanVelocity

logger = logging.getLogger(__name__)

INFO_NAME = "info.json"


class EditJob:
    """Computes what the item store lacks; the model loads only where something is missing."""

    def __init__(self, params: EditParams) -> None:
        video = params.video_model
        self.params = params
        self.identity = model_identity(video.path, video.revision)
        self.store = ItemStore(state_root(), "flowalign_edit")
        self.device = pick_device()
        self.contexts: dict[str, Tensor] = {}

    def run(self, requests: Sequence[EditRequest], output: Path) -> None:
        """Fill `output` with <case>/{source,plain,reference}.mkv, curve/, views, and info.json."""
        keys = [edit_keys(request, self.store, self.identity) for request in requests]
        pairs = list(zip(requests, keys, strict=True))
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

    @cached_property
    def model(self) -> WanModel:
        video = self.params.video_model
        logger.info(
            "edits on %s, %s, model %s (%s)", self.device, video.dtype, video.path, self.identity
        )
        return WanModel(video.path, video.revision, video.dtype, self.device)

    def _missing(self, keys: EditKeys) -> int:
        everything = [keys.source, keys.plain, *keys.variants.values(), keys.view]
        return sum(self.store.get(key) is None for key in everything)

    def _compute(self, missing: Sequence[tuple[EditRequest, EditKeys]]) -> None:
        video = self.params.video_model
        prompts = {}
        for request, _ in missing:
            for key in ("source_prompt", "target_prompt"):
                prompts[f"cases.{request.name}.{key}"] = getattr(request.case, key)
        self.contexts = embed_prompts(prompts, self.model, video, self.identity, state_root())
        total = sum(self._missing(keys) for _, keys in missing)
        with tqdm(total=total, desc="edits", unit="item", mininterval=1) as bar:
            for request, keys in missing:
                bar.set_postfix_str(request.name)
                try:
                    self._compute_case(request, keys, bar)
                except InputError as error:
                    raise InputError(f"case {request.name}: {error}") from error

    def _compute_case(self, request: EditRequest, keys: EditKeys, bar: Any) -> None:
        edit = CaseEdit(self.model, request, self.contexts, self.store.folder / keys.source)
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
        for strength in request.params.flowalign.strength_curve if request.bank else ():
            key = keys.variants.get(strength)
            clip = store / key / REFERENCE_CLIP if key else store / keys.plain / PLAIN_CLIP
            (folder / "curve").mkdir(exist_ok=True)
            _link(clip, folder / "curve" / f"{strength:g}.mkv")

    def _info(self, requests: Sequence[EditRequest]) -> dict[str, Any]:
        video = self.params.video_model
        return {
            "device": self.device,
            "dtype": video.dtype,
            "model": self.identity,
            "cases": {request.name: _case_info(request) for request in requests},
        }


class CaseEdit:
    """The computations of one case; what they share is made once and only where it is needed."""

    def __init__(
        self, model: WanModel, request: EditRequest, contexts: dict[str, Tensor], source_slot: Path
    ) -> None:
        """contexts: prompt -> embedding. source_slot: where the source item is, once written."""
        flow, params, case = request.params.flowalign, request.params, request.case
        self.model, self.request, self._slot = model, request, source_slot
        self.settings = FlowSettings(
            edit_sigmas(flow.steps, flow.strength, flow.shift),
            flow.guidance, flow.zeta, params.seed,
        )  # fmt: skip
        self.contexts: dict[Prompt, Tensor] = {
            "source": contexts[case.source_prompt].to(model.device),
            "target": contexts[case.target_prompt].to(model.device),
        }

    @cached_property
    def source(self) -> SourceBranch:
        return SourceBranch.load(self._slot / SOURCE_BRANCH, self.model.device)

    @cached_property
    def fps(self) -> float:
        return read_clip(self._slot / SOURCE_CLIP, 1).fps

    @cached_property
    def bank(self) -> ReferenceBank:
        assert self.request.bank is not None
        return ReferenceBank.load(self.request.bank, self.model.device)

    def write_source(self, folder: Path) -> None:
        """Fit the clip to the frame, encode it and evaluate v_q at every step."""
        flow = self.request.params.flowalign
        self.model.check_frame(flow.width, flow.height, flow.frames)
        clip = read_clip(
            Path(self.request.case.video), flow.frames, width=flow.width, height=flow.height
        )
        branch = compute_source_branch(
            WanVelocity(self.model.transformer, self.contexts).at_source,
            encode_frames(self.model.vae, clip.frames),
            self.settings.sigmas,
            self.settings.seed,
            self.model.dtype,
        )
        write_clip(folder / SOURCE_CLIP, clip, "lossless")
        branch.save(folder / SOURCE_BRANCH)

    def write_plain(self, folder: Path) -> None:
        """The edit without reference."""
        latents = edit_plain(self.model.transformer, self.contexts, self.source, self.settings)
        self._write(latents, folder / PLAIN_CLIP)

    def write_variant(self, strength: float, folder: Path) -> None:
        """The edit with the reference at one strength > 0."""
        params = self.request.params
        reference = ReferenceSettings(
            strength, params.ref_mode, params.ref_layers, params.ref_branches,
            params.flowalign.rope, params.flowalign.ref_steps,
        )  # fmt: skip
        latents = edit_with_reference(
            self.model.transformer, self.contexts, self.source, self.settings, self.bank, reference
        )
        self._write(latents, folder / REFERENCE_CLIP)

    def _write(self, latents: Tensor, path: Path) -> None:
        if not latents.isfinite().all():
            raise InputError(
                "the edit diverged to values that are not finite: lower flowalign.guidance, "
                "ref_strength or flowalign.zeta"
            )
        write_clip(path, Clip(decode_frames(self.model.vae, latents), self.fps), "lossless")


def _case_info(request: EditRequest) -> dict[str, Any]:
    return {
        "video": request.case.video,
        "source_prompt": request.case.source_prompt,
        "target_prompt": request.case.target_prompt,
        "product_image": str(request.photo) if request.photo else None,
        "reference": request.bank is not None,
        "result_strength": request.result_strength,
        "settings": request.params.model_dump(mode="json", exclude={"video_model"}),
    }


def _link(source: Path, target: Path) -> None:
    """Hard link where the file system allows, else copy."""
    try:
        target.hardlink_to(source)
    except OSError:
        target.write_bytes(source.read_bytes())
