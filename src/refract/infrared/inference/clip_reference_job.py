"""The infrared reference of a case as an item of the store."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from refract.base.errors import InputError
from refract.base.files import INFO_NAME
from refract.infrared.adapter.adapter_files import CONFIG_NAME, AdapterConfig, read_config
from refract.infrared.inference.clip_reference import (
    edit_frame,
    embed_reference_prompt,
    write_infrared_reference,
)
from refract.infrared.inference.first_frame_map import FirstFrameMap, choose_map
from refract.models.identity import model_identity
from refract.params.cases import Case
from refract.params.ref_bank import BankParams
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, state_root
from refract.pipeline.processes import Processes
from refract.pipeline.shared_items import own_share

_FILE = "infrared.png"
BLACK_MAP = "black first_frame_map"


class InfraredReference(NamedTuple):
    """A square PNG. fallbacks: what its making had to do without; empty for most.

    frame: width and height of the edit's frame, whose middle it is.
    """

    picture: Path
    fallbacks: tuple[str, ...]
    frame: tuple[int, int]


class _Planned(NamedTuple):
    """What the reference of one case is made from, and the key of its item."""

    case: Case
    params: BankParams
    semantic: FirstFrameMap
    key: str


class InfraredReferenceJob:
    """Makes what the store lacks, from one adapter. An item's key alone knows the infrared half."""

    def __init__(
        self, adapter: Path | None, triptychs: Path | None, processes: Processes | None = None
    ) -> None:
        """adapter: what train_ir_adapter wrote. triptychs: what it was trained on.

        Raises InputError where there is no adapter.
        """
        if adapter is None or not adapter.is_dir():
            raise InputError(
                f"target_image: infer_ir needs the trained adapter; {adapter} is no folder: "
                "run train_ir_adapter first"
            )
        self.adapter = adapter
        # Where the caller does not say, they lie as dvc.yaml has them: in one folder.
        self.info = (triptychs or adapter.parent / "triptychs") / INFO_NAME
        self.store = ItemStore(state_root(), "infrared_reference")
        self.processes = processes or Processes()

    def references(
        self, cases: Mapping[str, tuple[Case, BankParams]]
    ) -> dict[str, InfraredReference]:
        """The translated first frame of each case, by name; when it returns, all are made.

        Raises InputError for a map, clip or adapter that cannot be used.
        """
        planned, missing = self.processes.decide(lambda: self._plan(cases))
        if missing and self.processes.count > 1:
            self._embed(missing[0].params)
        for reference in own_share(self.processes, missing, lambda reference: [reference.key]):
            self._compute(reference)
        self.processes.wait()
        return {
            name: InfraredReference(
                self.store.folder / reference.key / _FILE,
                # Not of the item: the same picture may be none to triptychs that had no maps.
                (BLACK_MAP,) if reference.semantic.is_fallback else (),
                edit_frame(Path(reference.case.video), reference.params),
            )
            for name, reference in planned.items()
        }

    @cached_property
    def config(self) -> AdapterConfig:
        return read_config(self.adapter)

    def _plan(
        self, cases: Mapping[str, tuple[Case, BankParams]]
    ) -> tuple[dict[str, _Planned], list[_Planned]]:
        """How each case's frame is to be translated, and what of it the store lacks."""
        planned = {
            name: self._planned(name, case, params) for name, (case, params) in cases.items()
        }
        by_key = {reference.key: reference for reference in planned.values()}
        missing = [reference for key, reference in by_key.items() if self.store.get(key) is None]
        return planned, missing

    def _planned(self, name: str, case: Case, params: BankParams) -> _Planned:
        given = Path(case.first_frame_map) if case.first_frame_map is not None else None
        semantic = choose_map(name, given, self.config, self.info)
        return _Planned(case, params, semantic, self._key(case, params, semantic))

    def _embed(self, params: BankParams) -> None:
        """Have the prompt of all references in the store before several processes want it.

        One process alone embeds it when it comes to it.
        """
        with self.processes.main_first():
            refresh = None if self.processes.main else False  # it has been refreshed
            embed_reference_prompt(self.config, params.infrared_model, refresh)

    def _key(self, case: Case, params: BankParams, semantic: FirstFrameMap) -> str:
        section = params.infrared_model
        files = [*sorted(self.adapter.glob("*.safetensors")), self.adapter / CONFIG_NAME]
        inputs = {path.name: hash_file(path) for path in files}
        inputs["video"] = hash_file(Path(case.video))
        inputs["first_frame_map"] = semantic.fingerprint()
        return self.store.key(
            params={
                "steps": params.ref_bank.infrared_steps,
                "seed": params.seed,
                **section.result_settings(),
                "frame": edit_frame(Path(case.video), params),
                "start": case.clip.start,
            },
            inputs=inputs,
            code=closure("refract.infrared.inference.clip_reference"),
            model=model_identity(section.path, section.revision),
        )

    def _compute(self, planned: _Planned) -> None:
        """Make the picture an item of the store."""
        with self.store.create(planned.key) as folder:
            write_infrared_reference(
                Path(planned.case.video),
                folder / _FILE,
                start=planned.case.clip.start,
                semantic=planned.semantic,
                adapter=self.adapter,
                params=planned.params,
            )
