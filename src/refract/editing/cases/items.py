"""The items of one edit and their keys: source branch, plain edit, edits with the reference, views.

The keys nest, and each names just what the item depends on: the plain edit knows no reference
setting, the source branch neither target prompt nor product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refract.base.errors import InputError
from refract.media.mask_folder import mask_files
from refract.media.video_io import Clip, read_clip
from refract.models.wan import WanModel
from refract.params.cases import INFRARED_REFERENCE, Case
from refract.params.edit_stage import EditParams
from refract.params.flowalign import FlowAlign
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file

SOURCE_CLIP, SOURCE_BRANCH = "source.mkv", "source.safetensors"
PLAIN_CLIP, REFERENCE_CLIP = "plain.mkv", "reference.mkv"

# Settings of section flowalign that a sampler reads: for its source branch, and beyond it.
_SCHEDULE = ("steps", "strength", "shift")
_SOURCE_READS: dict[str, tuple[str, ...]] = {
    "flowalign": _SCHEDULE,
    "flowedit": (*_SCHEDULE, "source_guidance", "negative_prompt"),
    "sdedit": (),
    "vace": (),
}
_READS: dict[str, tuple[str, ...]] = {
    "flowalign": ("guidance", "zeta", "region"),
    "flowedit": ("guidance", "negative_prompt"),
    "sdedit": (*_SCHEDULE, "guidance", "negative_prompt"),
    "vace": ("steps", "shift", "guidance", "negative_prompt"),
}

# What makes the source branch and the plain edit shall not change with the reference's code, so
# it is named without the class that makes all three.
_SOURCE_CODE = ("refract.editing.samplers.source_branch", "refract.editing.samplers.noise_levels")
_PLAIN_CODE = (
    "refract.editing.samplers.latent_edit",
    "refract.editing.samplers.edited_words",
    "refract.editing.samplers.noise_levels",
)
_REFERENCE_CODE = ("refract.editing.cases.latent_case",)
_VACE_CODE = ("refract.editing.cases.vace_case",)


@dataclass(frozen=True)
class EditRequest:
    """One case to edit.

    params: with the case's overrides. bank, photo: None without a product. is_baseline: a plain
    edit by another sampler beside the case's own, see `sampler_baselines`.
    """

    name: str
    case: Case
    params: EditParams
    bank: Path | None = None
    photo: Path | None = None
    is_baseline: bool = False

    @property
    def label(self) -> str:
        """How errors name it."""
        return f"case {self.name}" + (f": baseline {self.sampler}" if self.is_baseline else "")

    @property
    def sampler(self) -> str:
        return self.params.flowalign.sampler

    @property
    def has_reference(self) -> bool:
        """VACE takes the photo itself, the other samplers its bank."""
        return (self.photo if self.sampler == "vace" else self.bank) is not None

    @property
    def strengths(self) -> list[float]:
        """Every strength but 0 to render: the curve's and the one asked for."""
        return sorted({*self.curve, self.result_strength} - {0.0})

    @property
    def result_strength(self) -> float:
        """The strength of the result; 0 is the plain edit."""
        return self.params.ref_strength if self.has_reference else 0.0

    @property
    def curve(self) -> list[float]:
        """The strengths of the curve; none without a product and in VACE, which knows none."""
        if not self.has_reference or self.sampler == "vace":
            return []
        return list(self.params.flowalign.strength_curve)


@dataclass(frozen=True)
class PlainKeys:
    """Store keys of the plain edit of a request and of what it is made from."""

    source: str
    plain: str

    def all(self) -> list[str]:
        return [self.source, self.plain]


@dataclass(frozen=True)
class EditKeys(PlainKeys):
    """Store keys of one request; `variants`: strength -> key."""

    variants: dict[float, str]
    view: str

    def all(self) -> list[str]:
        return [*super().all(), *self.variants.values(), self.view]


def edit_keys(request: EditRequest, store: ItemStore, identity: str) -> EditKeys:
    """Keys of all items of a request; InputError where an input file cannot be read."""
    if request.sampler == "vace" and request.case.target_image == INFRARED_REFERENCE:
        raise InputError(
            f"case {request.name}: target_image: infer_ir does not go with flowalign.sampler vace, "
            "which takes a product photo"
        )
    own = plain_keys(request, store, identity)
    variants = {
        strength: _variant_key(request, strength, own.plain, store, identity)
        for strength in request.strengths
    }
    result = variants.get(request.result_strength, own.plain)
    view = store.key(
        params={"plain": own.plain, "result": result},
        inputs={"photo": hash_file(request.photo)} if request.photo else {},
        code=closure("refract.editing.cases.views"),
    )
    return EditKeys(own.source, own.plain, variants, view)


def plain_keys(request: EditRequest, store: ItemStore, identity: str) -> PlainKeys:
    """Keys of the items without reference; InputError where an input file cannot be read."""
    case, params, flow = request.case, request.params, request.params.flowalign
    source = _source_key(request, store, identity)
    plain_facts = {"prompt": case.target_prompt, "seed": params.seed}
    if request.sampler == "flowalign" and flow.region.zeta_outside is not None:
        plain_facts["source_prompt"] = case.source_prompt  # its words show the region too
    plain = store.key(
        params={"source": source, **plain_facts, **_settings(flow, _READS[request.sampler])},
        inputs=_mask_hashes(request),
        code=_code(*(_VACE_CODE if request.sampler == "vace" else _PLAIN_CODE)),
        model=identity,
    )
    return PlainKeys(source, plain)


def _source_key(request: EditRequest, store: ItemStore, identity: str) -> str:
    case, params, flow = request.case, request.params, request.params.flowalign
    model = params.video_model
    source_reads = _SOURCE_READS[request.sampler]
    source_facts: dict[str, object] = {
        "frames": flow.frames,
        "width": flow.width,
        "height": flow.height,
        **model.result_settings(),
    }
    if source_reads:
        source_facts |= _settings(flow, source_reads)
        source_facts |= {"prompt": case.source_prompt, "seed": params.seed}
    return store.key(
        params={"sampler": request.sampler, **source_facts},
        inputs={"video": hash_file(Path(case.video))},
        code=_code(*_SOURCE_CODE),
        model=identity,
    )


def _variant_key(
    request: EditRequest, strength: float, plain: str, store: ItemStore, identity: str
) -> str:
    params, flow = request.params, request.params.flowalign
    if request.sampler == "vace":
        assert request.photo is not None
        return store.key(
            params={"plain": plain},
            inputs={"photo": hash_file(request.photo)},
            code=_code(*_VACE_CODE),
            model=identity,
        )
    assert request.bank is not None
    guided = params.ref_branches == "guided"
    return store.key(
        params={
            "plain": plain,
            "strength": strength,
            "mode": params.ref_mode,
            "layers": params.ref_layers,
            "branches": params.ref_branches,
            "guidance": flow.ref_guidance if guided else None,
            "rope": flow.ref_rope,
            "steps": flow.ref_steps,
            "frames": flow.ref_frame_schedule,
        },
        inputs={"bank": hash_file(request.bank)},
        code=_code(*_REFERENCE_CODE),
        model=identity,
    )


def settings_read(flow: FlowAlign) -> dict[str, object]:
    """The settings of section flowalign that a plain edit depends on, but for the clip's shape."""
    return _settings(flow, (*_SOURCE_READS[flow.sampler], *_READS[flow.sampler]))


def _settings(flow: FlowAlign, names: Sequence[str]) -> dict[str, object]:
    """The values of some settings; a region that is switched off counts as none."""
    values = flow.model_dump(mode="json", include=set(names))
    if "region" in values and flow.region.zeta_outside is None:
        values["region"] = None
    if flow.sampler == "vace":  # its model is in the key by its contents
        values |= flow.vace.model_dump(exclude={"path", "revision"})
    return values


def _mask_hashes(request: EditRequest) -> dict[str, str]:
    """The masks that VACE is given; the other samplers see none."""
    folder, count = request.case.source_mask, request.params.flowalign.frames
    if request.sampler != "vace" or folder is None:
        return {}
    try:
        return {path.name: hash_file(path) for path in mask_files(Path(folder), count)}
    except InputError as error:
        raise InputError(f"case {request.name}: {error}") from error


def _code(*modules: str) -> Sequence[Path]:
    """What turns files into latents and back counts for every item."""
    return closure(
        *modules, "refract.models.wan_text", "refract.models.wan_latents", "refract.media.video_io"
    )


def read_source_clip(model: WanModel, request: EditRequest) -> Clip:
    """The clip fitted to the frame of the edit; InputError where the model cannot edit it."""
    flow = request.params.flowalign
    model.check_frame(flow.width, flow.height, flow.frames)
    return read_clip(Path(request.case.video), flow.frames, width=flow.width, height=flow.height)
