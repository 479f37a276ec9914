"""One reference bank for every case that has a product image; the item store keeps them."""

import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from refract.base.atomic import replace_directory
from refract.base.errors import InputError
from refract.editing.reference.making import BankSettings, make_bank
from refract.editing.reference.photo import find_reference_photo
from refract.media.salient_object import network_digest
from refract.models.identity import model_identity
from refract.models.memory_options import memory_options
from refract.models.wan import WanModel
from refract.models.wan_text_cache import embed_wan_prompts
from refract.params.cases import INFRARED_REFERENCE, Case
from refract.params.ref_bank import BankParams
from refract.pipeline.device import pick_device
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, materialise, state_root
from refract.pipeline.processes import Processes, joined_processes
from refract.pipeline.shared_items import compute_items, own_share, progress_bar

if TYPE_CHECKING:
    from refract.infrared.inference.clip_reference_job import InfraredReference

logger = logging.getLogger(__name__)

_FILE = "bank.safetensors"


@dataclass(frozen=True)
class BankRequest:
    """One bank to make, and the key of its item."""

    name: str
    case: Case
    photo: Path
    network: Path | None  # which tells the product, where the settings say so
    settings: BankSettings
    key: str


class _Plan(NamedTuple):
    """Every bank to have, by key those that the store lacks, and how many it has."""

    requests: list[BankRequest]
    missing: dict[str, BankRequest]
    hits: int


class BankJob:
    """`params` holds the settings of all cases but for their overrides."""

    def __init__(
        self, params: BankParams, adapter: Path | None = None, triptychs: Path | None = None
    ) -> None:
        """adapter: what train_ir_adapter wrote; needed only for cases with `infer_ir`.

        triptychs: what the adapter was trained on, for who made its semantic maps; None takes the
        folder that dvc.yaml has beside the adapter.
        """
        video = params.video_model
        self.params, self.adapter, self.triptychs = params, adapter, triptychs
        self.identity = model_identity(video.path, video.revision)
        self.store = ItemStore(state_root(), "extract_ref_banks")

    def run(self, cases: Mapping[str, tuple[Case, BankParams]], output: Path) -> None:
        """Fill `output` with <case>.safetensors for every case with a product image.

        A generated reference, of `infer_ir`, lies beside its bank as <case>.png.

        cases: name -> the case and the settings with its overrides.

        To be called by every process of a launch; they divide the cases, and the main one fills
        the folder.
        """
        with joined_processes() as processes:
            infrared = self._infrared_references(cases, processes)
            requests, missing, hits = processes.decide(lambda: self._plan(cases, infrared))
            self._compute(missing, processes)
            computed = processes.total(self.store.computed)
            if not processes.main:
                return
            with replace_directory(output) as folder:
                for request in requests:
                    self._fill(folder, request)
            logger.info(
                "reference banks: %d of %d cases, %d items hit, %d computed",
                len(requests), len(cases), hits, computed,
            )  # fmt: skip

    @cached_property
    def model(self) -> WanModel:
        video, device = self.params.video_model, pick_device()
        logger.info(
            "reference banks on %s, %s, model %s (%s)",
            device, video.dtype, video.path, self.identity,
        )  # fmt: skip
        options = memory_options(video, "video_model")
        return WanModel(video.path, video.revision, video.dtype, device, options)

    def _infrared_references(
        self, cases: Mapping[str, tuple[Case, BankParams]], processes: Processes
    ) -> "dict[str, InfraredReference]":
        """By name of the cases that have one; when it returns, all are made."""
        wanted = {
            name: request
            for name, request in cases.items()
            if request[0].target_image == INFRARED_REFERENCE
        }
        if not wanted:
            return {}
        from refract.infrared.inference.clip_reference_job import (
            InfraredReferenceJob,  # FLUX, where it is needed
        )

        return InfraredReferenceJob(self.adapter, self.triptychs, processes).references(wanted)

    def _plan(
        self,
        cases: Mapping[str, tuple[Case, BankParams]],
        infrared: "Mapping[str, InfraredReference]",
    ) -> _Plan:
        requests = [
            request
            for name, (case, params) in cases.items()
            if (request := self._request(name, case, params, infrared.get(name))) is not None
        ]
        missing = {r.key: r for r in requests if self.store.get(r.key) is None}
        return _Plan(requests, missing, self.store.hits)

    def _request(
        self, name: str, case: Case, params: BankParams, infrared: "InfraredReference | None"
    ) -> BankRequest | None:
        photo = infrared.picture if infrared else find_reference_photo(name, case)
        if photo is None:
            logger.info("case %s: no product image, so no bank; its edit is plain", name)
            return None
        # An infrared reference is the middle of the frame and shall stand there: on a grid of its
        # own its tokens would have the positions of other places.
        grid, image_px = params.flowalign, params.ref_bank.image_px
        photo_grid = (image_px or grid.width, image_px or grid.height)
        width, height = infrared.frame if infrared else photo_grid
        settings = BankSettings(
            width=width,
            height=height,
            sigmas=params.ref_timesteps,
            foreground="all" if infrared else params.ref_bank.foreground,
            pool=params.ref_bank.pool,
            seed=params.seed,
            fallbacks=infrared.fallbacks if infrared else (),
        )
        mask = case.target_image_mask if settings.foreground == "mask" else None
        inputs = {"photo": hash_file(photo)}
        if mask is not None:
            inputs["mask"] = hash_file(Path(mask))
        network = None if infrared else params.ref_bank.network
        if network is not None:
            inputs["foreground_model"] = network_digest(network)
        key = self.store.key(
            params={
                **asdict(settings),
                "prompt": case.target_prompt,
                **params.video_model.result_settings(),
            },
            inputs=inputs,
            code=closure("refract.editing.reference.making", "refract.models.wan_text"),
            model=self.identity,
        )
        return BankRequest(name, case, photo, network, settings, key)

    def _compute(self, missing: Mapping[str, BankRequest], processes: Processes) -> None:
        """Each process makes the banks of its share of the requests."""
        if not missing:
            return
        contexts = self._embed(missing.values(), processes)
        share = own_share(processes, list(missing.values()), lambda request: [request.key])

        def make(request: BankRequest, done: Callable[[int], Any]) -> None:
            self._make(request, contexts[request.case.target_prompt])
            done(1)

        with progress_bar(processes, len(share), "banks", "case") as bar:
            compute_items(
                share, make, self.store, bar, lambda: (self.model.transformer, self.model.vae)
            )

    def _embed(self, requests: Collection[BankRequest], processes: Processes) -> dict[str, Tensor]:
        """The embeddings of the target prompts: the main process makes them, the others read."""
        prompts = {f"cases.{r.name}.target_prompt": r.case.target_prompt for r in requests}
        with processes.main_first():
            return embed_wan_prompts(
                prompts,
                self.model,
                self.params.video_model,
                self.identity,
                state_root(),
                refresh=None if processes.main else False,  # it has been refreshed
            )

    def _make(self, request: BankRequest, context: Tensor) -> None:
        mask = request.case.target_image_mask
        try:
            bank = make_bank(
                self.model,
                self.identity,
                request.photo,
                Path(mask) if mask else None,
                request.network,
                request.case.target_prompt,
                context,
                request.settings,
            )
        except InputError as error:
            raise InputError(f"case {request.name}: {error}") from error
        with self.store.create(request.key) as folder:
            bank.save(folder / _FILE)

    def _fill(self, folder: Path, request: BankRequest) -> None:
        slot = folder / request.name
        materialise(self.store.folder / request.key, slot)
        (slot / _FILE).rename(folder / f"{request.name}.safetensors")
        shutil.rmtree(slot)
        if request.case.target_image == INFRARED_REFERENCE:
            shutil.copyfile(request.photo, folder / f"{request.name}.png")
