"""The models of a run of edits: loaded when first needed, with identity and embedded prompts."""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from refract.base.errors import InputError
from refract.editing.cases.latent_case import LatentCaseEdit
from refract.editing.cases.request import EditRequest, ShotRequest
from refract.editing.cases.vace_case import VaceCaseEdit
from refract.editing.cases.vace_edit import reads_negative
from refract.editing.samplers.registry import SAMPLERS
from refract.models.identity import model_identity
from refract.models.memory_options import memory_options
from refract.models.vace import VaceModel
from refract.models.wan import WanModel
from refract.models.wan_text_cache import embed_wan_prompts
from refract.params.models import VideoModelParams
from refract.pipeline.device import pick_device
from refract.pipeline.item_store import state_root
from refract.pipeline.processes import Processes

logger = logging.getLogger(__name__)


class CaseEdit(Protocol):
    """The computations of one shot, each of which writes its item into a folder."""

    def write_source(self, folder: Path) -> None: ...

    def write_plain(self, folder: Path) -> None: ...

    def write_variant(self, strength: float, folder: Path) -> None: ...


class EditModel:
    """One model with the embeddings of its own text encoder."""

    def __init__(
        self,
        kind: type[WanModel],
        path: str,
        revision: str | None,
        settings: VideoModelParams,
    ) -> None:
        """settings: for precision and number of prompt tokens, which VACE shares.

        Raises InputError for what is neither a folder here nor shaped like a hub id.
        """
        try:
            self.identity = model_identity(path, revision)
        except InputError as error:
            raise InputError(f"{kind.setting}: {error}") from error
        self._kind, self._path, self._revision = kind, path, revision
        self._settings = settings
        self._contexts: dict[str, Tensor] = {}

    @cached_property
    def model(self) -> WanModel:
        dtype, device = self._settings.dtype, pick_device()
        logger.info("edits on %s, %s, model %s (%s)", device, dtype, self._path, self.identity)
        options = memory_options(self._settings, "video_model")
        return self._kind(self._path, self._revision, dtype, device, options)

    def embed(self, requests: Sequence[EditRequest], processes: Processes) -> None:
        """Embed the prompts of all requests; the text encoder is gone afterwards.

        The main process does it, the others read them.
        """
        prompts, may_be_empty = {}, []
        for request in requests:
            case = request.case
            if request.sampler != "vace":  # which sees the source and needs no words for it
                prompts[f"cases.{request.name}.source_prompt"] = case.source_prompt
            prompts[f"cases.{request.name}.target_prompt"] = case.target_prompt
            if _reads_negative(request):
                may_be_empty.append(f"flowalign.negative_prompt of case {request.name}")
                prompts[may_be_empty[-1]] = request.params.flowalign.negative_prompt
        with processes.main_first():
            self._contexts = embed_wan_prompts(
                prompts,
                self.model,
                self._settings,
                self.identity,
                state_root(),
                may_be_empty,
                refresh=None if processes.main else False,  # it has been refreshed
            )

    def load(self) -> None:
        """What an edit needs once its prompts are embedded."""
        _ = self.model.transformer, self.model.vae

    def case_edit(
        self, request: ShotRequest, source_slot: Path, on_step: Callable[[], Any] = lambda: None
    ) -> CaseEdit:
        """The computations of a shot whose prompts are embedded.

        source_slot: where the source item is, once written. on_step: called before each step of a
        sampler, but for VACE, whose pipeline has a bar of its own.
        """
        if isinstance(self.model, VaceModel):
            return VaceCaseEdit(self.model, request, self._contexts, source_slot)
        return LatentCaseEdit(self.model, request, self._contexts, source_slot, on_step)


class EditModels:
    """Every model that the cases of a run edit with, each held once."""

    def __init__(self, video: VideoModelParams) -> None:
        self._video = video
        self._models: dict[tuple[type[WanModel], str, str | None], EditModel] = {}

    def of(self, request: EditRequest) -> EditModel:
        """The model that a case edits with; InputError where VACE is asked for but not named."""
        address: tuple[type[WanModel], str, str | None]
        if request.sampler == "vace":
            vace = request.params.flowalign.vace
            if vace.path is None:
                raise InputError(
                    f"case {request.name}: flowalign.sampler = vace needs flowalign.vace.path, a "
                    "folder or hub id such as Wan-AI/Wan2.1-VACE-1.3B-diffusers"
                )
            address = (VaceModel, vace.path, vace.revision)
        else:
            address = (WanModel, self._video.path, self._video.revision)
        if address not in self._models:
            self._models[address] = EditModel(*address, self._video)
        return self._models[address]

    def embed(self, requests: Sequence[EditRequest], processes: Processes | None = None) -> None:
        """Embed every prompt before any case is edited, each by the model that will read it.

        No more than one text encoder is held at a time, and none beside a transformer.
        """
        groups: dict[EditModel, list[EditRequest]] = defaultdict(list)
        for request in requests:
            groups[self.of(request)].append(request)
        for model, group in groups.items():
            model.embed(group, processes or Processes())


def _reads_negative(request: EditRequest) -> bool:
    flow = request.params.flowalign
    if flow.sampler == "vace":
        return reads_negative(flow.guidance)
    return SAMPLERS[flow.sampler].reads_negative
