"""The infrared reference of a case as an item of the store."""

from pathlib import Path
from typing import NamedTuple

from refract.adapter_files import CONFIG_NAME, AdapterConfig, read_config
from refract.device import pick_device
from refract.errors import InputError
from refract.first_frame_map import FirstFrameMap, choose_map
from refract.import_closure import closure
from refract.infrared_reference import write_infrared_reference
from refract.item_store import ItemStore, hash_file, state_root
from refract.model_identity import model_identity
from refract.params.bank_stage import BankParams
from refract.params.cases import Case
from refract.training_maps import read_training_maps

_FILE = "infrared.png"
_INFO = "info.json"  # of the triptychs
BLACK_MAP = "black first_frame_map"


class InfraredReference(NamedTuple):
    """A square PNG. fallbacks: what its making had to do without; empty for most."""

    picture: Path
    fallbacks: tuple[str, ...]


class InfraredReferenceJob:
    """Makes what the store lacks, from one adapter. An item's key alone knows the infrared half."""

    def __init__(self, adapter: Path | None, triptychs: Path | None) -> None:
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
        self.info = (triptychs or adapter.parent / "triptychs") / _INFO
        self.store = ItemStore(state_root(), "infrared_reference")

    def picture(self, name: str, case: Case, params: BankParams) -> InfraredReference:
        """The translated first frame of case `name`.

        Raises InputError for a map, clip or adapter that cannot be used.
        """
        config = read_config(self.adapter)
        given = Path(case.first_frame_map) if case.first_frame_map is not None else None
        semantic = choose_map(name, given, config, self.info)
        key = self._key(case, params, semantic)
        if self.store.get(key) is None:
            self._compute(key, case, params, semantic, config)
        return InfraredReference(self.store.folder / key / _FILE, self._fallbacks(semantic, config))

    def _fallbacks(self, semantic: FirstFrameMap, config: AdapterConfig) -> tuple[str, ...]:
        """A black map where the training had maps or that is not known: `choose_map` warns of it.

        Not of the item: the same picture may be no fallback to triptychs that had no maps.
        """
        if config.mode == "none" or semantic.given is not None or semantic.model is not None:
            return ()
        return () if read_training_maps(self.info).source == "none" else (BLACK_MAP,)

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
                "frame": _frame(params),
            },
            inputs=inputs,
            code=closure("refract.infrared_reference"),
            model=model_identity(section.path, section.revision),
        )

    def _compute(
        self,
        key: str,
        case: Case,
        params: BankParams,
        semantic: FirstFrameMap,
        config: AdapterConfig,
    ) -> None:
        with self.store.create(key) as folder:
            write_infrared_reference(
                Path(case.video),
                folder / _FILE,
                frame=_frame(params),
                semantic=semantic,
                adapter=self.adapter,
                config=config,
                model=params.infrared_model,
                steps=params.ref_bank.infrared_steps,
                seed=params.seed,
                device=pick_device(),
                state=state_root(),
            )


def _frame(params: BankParams) -> tuple[int, int]:
    return params.flowalign.width, params.flowalign.height
