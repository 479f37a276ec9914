"""Store keys of the items of one shot: source branch, plain edit, edits with the reference.

The keys nest, and each names just what the item depends on: the plain edit knows no reference
setting, the source branch neither target prompt nor product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refract.base.errors import InputError
from refract.editing.cases.request import ShotRequest, region_files
from refract.editing.samplers.registry import SAMPLERS
from refract.media.mask_folder import mask_files
from refract.params.cases import INFRARED_REFERENCE
from refract.params.flowalign import FlowAlign
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file

_VACE_READS = ("steps", "shift", "guidance", "negative_prompt")

# What makes the source branch and the plain edit shall not change with the reference's code, so
# it is named without the class that makes all three.
_SOURCE_CODE = (
    "refract.editing.cases.source_clip",
    "refract.editing.samplers.source_branch",
    "refract.editing.samplers.noise_levels",
    "refract.editing.samplers.wan_velocity",
)
_PLAIN_CODE = (
    "refract.editing.cases.user_region",
    "refract.editing.samplers.latent_edit",
    "refract.editing.samplers.edited_words",
    "refract.editing.samplers.noise_levels",
)
_REFERENCE_CODE = ("refract.editing.cases.latent_case",)
_VACE_CODE = ("refract.editing.cases.vace_case",)


@dataclass(frozen=True)
class PlainKeys:
    """Store keys of the plain edit of a request and of what it is made from."""

    source: str
    plain: str

    def all(self) -> list[str]:
        return [self.source, self.plain]


@dataclass(frozen=True)
class EditKeys(PlainKeys):
    """Store keys of one shot; `variants`: strength -> key."""

    variants: dict[float, str]

    def all(self) -> list[str]:
        return [*super().all(), *self.variants.values()]

    def of(self, strength: float) -> str:
        """Key of the edit at a strength; the plain one at 0."""
        return self.variants.get(strength, self.plain)


def edit_keys(request: ShotRequest, store: ItemStore, identity: str) -> EditKeys:
    """Keys of all items of a shot; InputError where an input file cannot be read.

    identity: of the model that edits, by its contents.
    """
    if request.sampler == "vace" and request.case.target_image == INFRARED_REFERENCE:
        raise InputError(
            f"case {request.name}: target_image: infer_ir does not go with flowalign.sampler vace, "
            "which takes a product photo"
        )
    return _Keys(request, store, identity).edit()


def plain_keys(request: ShotRequest, store: ItemStore, identity: str) -> PlainKeys:
    """Keys of the items without reference; InputError where an input file cannot be read."""
    return _Keys(request, store, identity).without_reference()


def settings_read(flow: FlowAlign) -> dict[str, object]:
    """The settings of section flowalign that a plain edit depends on, but for the clip's shape."""
    return _values(flow, (*_source_reads(flow), *_plain_reads(flow)))


@dataclass(frozen=True)
class _Keys:
    request: ShotRequest
    store: ItemStore
    identity: str

    def edit(self) -> EditKeys:
        keys = self.without_reference()
        variants = {
            strength: self._variant(strength, keys.plain) for strength in self.request.strengths
        }
        return EditKeys(keys.source, keys.plain, variants)

    def without_reference(self) -> PlainKeys:
        source = self._source()
        return PlainKeys(source, self._plain(source))

    def _source(self) -> str:
        request, case = self.request, self.request.case
        params, flow = request.params, request.params.flowalign
        facts: dict[str, object] = {
            "sampler": flow.sampler,
            "fps": case.fps,
            "shot": request.shot,
            "frame": request.frame,
            **params.video_model.result_settings(),
        }
        if reads := _source_reads(flow):
            facts |= {"prompt": case.source_prompt, "seed": params.seed, **_values(flow, reads)}
        return self._key(facts, {"video": Path(case.video)}, _SOURCE_CODE)

    def _plain(self, source: str) -> str:
        case, params, flow = self.request.case, self.request.params, self.request.params.flowalign
        facts = {"source": source, "prompt": case.target_prompt, "seed": params.seed}
        facts |= _values(flow, _plain_reads(flow))
        if facts.get("region") is not None:
            facts["source_prompt"] = case.source_prompt  # its words show the region too
        code = _VACE_CODE if flow.sampler == "vace" else _PLAIN_CODE
        return self._key(facts, self._masks() | self._region_mask(), code)

    def _variant(self, strength: float, plain: str) -> str:
        request, params, flow = self.request, self.request.params, self.request.params.flowalign
        if request.sampler == "vace":
            assert request.photo is not None
            return self._key({"plain": plain}, {"photo": request.photo}, _VACE_CODE)
        assert request.bank is not None
        facts = {
            "plain": plain,
            "strength": strength,
            "mode": params.ref_mode,
            "layers": params.ref_layers,
            "branches": params.ref_branches,
            "guidance": flow.ref_guidance if params.ref_branches == "guided" else None,
            "rope": flow.ref_rope,
            "steps": flow.ref_steps,
            "frames": flow.ref_frame_schedule,
        }
        return self._key(facts, {"bank": request.bank}, _REFERENCE_CODE)

    def _masks(self) -> dict[str, Path]:
        """The masks that VACE is given; the other samplers see none."""
        folder, shot = self.request.case.source_mask, self.request.shot
        if self.request.sampler != "vace" or folder is None:
            return {}
        try:
            return {path.name: path for path in mask_files(Path(folder), shot.frames, shot.first)}
        except InputError as error:
            raise InputError(f"case {self.request.name}: {error}") from error

    def _region_mask(self) -> dict[str, Path]:
        """The region that the user gave, for a sampler that knows one."""
        return region_files(self.request.case) if self.request.knows_region else {}

    def _key(self, facts: dict[str, object], files: dict[str, Path], modules: Sequence[str]) -> str:
        """What turns files into latents and back counts for every item."""
        code = closure(
            *modules,
            "refract.models.wan_text", "refract.models.wan_latents", "refract.media.video_io",
        )  # fmt: skip
        inputs = {name: hash_file(path) for name, path in files.items()}
        return self.store.key(params=facts, inputs=inputs, code=code, model=self.identity)


def _source_reads(flow: FlowAlign) -> Sequence[str]:
    return () if flow.sampler == "vace" else SAMPLERS[flow.sampler].source_reads


def _plain_reads(flow: FlowAlign) -> Sequence[str]:
    return _VACE_READS if flow.sampler == "vace" else SAMPLERS[flow.sampler].reads


def _values(flow: FlowAlign, names: Sequence[str]) -> dict[str, object]:
    """The values of some settings; a region that is switched off counts as none."""
    values = flow.model_dump(mode="json", include=set(names))
    if "region" in values and flow.region.zeta_outside is None:
        values["region"] = None
    if flow.sampler == "vace":  # its model is in the key by its contents
        values |= flow.vace.model_dump(exclude={"path", "revision"})
    return values
