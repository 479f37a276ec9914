"""The items of one edit and their keys: source branch, plain edit, edits with the reference, views.

The keys nest, and each names just what the item depends on: the plain edit knows no reference
setting, the source branch neither target prompt nor product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refract.import_closure import closure
from refract.item_store import ItemStore, hash_file
from refract.params.cases import Case
from refract.params.edit_stage import EditParams

SOURCE_CLIP, SOURCE_BRANCH = "source.mkv", "source.safetensors"
PLAIN_CLIP, REFERENCE_CLIP = "plain.mkv", "reference.mkv"


@dataclass(frozen=True)
class EditRequest:
    """One case to edit. params: with the case's overrides. bank, photo: None without a product."""

    name: str
    case: Case
    params: EditParams
    bank: Path | None = None
    photo: Path | None = None

    @property
    def strengths(self) -> list[float]:
        """Every strength > 0 to render: the curve's and the one asked for; none without a bank."""
        wanted = {*self.params.flowalign.strength_curve, self.params.ref_strength}
        return sorted(strength for strength in wanted if strength > 0) if self.bank else []

    @property
    def result_strength(self) -> float:
        """The strength of the result; 0 is the plain edit."""
        return self.params.ref_strength if self.bank else 0.0


@dataclass(frozen=True)
class EditKeys:
    """Store keys of one request; `variants`: strength -> key."""

    source: str
    plain: str
    variants: dict[float, str]
    view: str


def edit_keys(request: EditRequest, store: ItemStore, identity: str) -> EditKeys:
    """Keys of all items of a request; InputError where an input file cannot be read."""
    case, params, flow = request.case, request.params, request.params.flowalign
    model = params.video_model
    source = store.key(
        params={
            "frames": flow.frames,
            "width": flow.width,
            "height": flow.height,
            "prompt": case.source_prompt,
            "seed": params.seed,
            "schedule": [flow.steps, flow.strength, flow.shift],
            "dtype": model.dtype,
            "max_sequence_length": model.max_sequence_length,
        },
        inputs={"video": hash_file(Path(case.video))},
        code=_code("refract.source_branch"),
        model=identity,
    )
    plain = store.key(
        params={
            "source": source,
            "prompt": case.target_prompt,
            "sampler": flow.sampler,
            "guidance": flow.guidance,
            "zeta": flow.zeta,
        },
        inputs={},
        code=_code("refract.plain_edit"),
        model=identity,
    )
    variants = {
        strength: _variant_key(request, strength, plain, store, identity)
        for strength in request.strengths
    }
    result = variants.get(request.result_strength, plain)
    view = store.key(
        params={"plain": plain, "result": result},
        inputs={"photo": hash_file(request.photo)} if request.photo else {},
        code=closure("refract.edit_views"),
    )
    return EditKeys(source, plain, variants, view)


def _variant_key(
    request: EditRequest, strength: float, plain: str, store: ItemStore, identity: str
) -> str:
    assert request.bank is not None
    params = request.params
    return store.key(
        params={
            "plain": plain,
            "strength": strength,
            "mode": params.ref_mode,
            "layers": params.ref_layers,
            "branches": params.ref_branches,
            "rope": params.flowalign.rope,
            "steps": params.flowalign.ref_steps,
        },
        inputs={"bank": hash_file(request.bank)},
        code=_code("refract.reference_edit"),
        model=identity,
    )


def _code(module: str) -> Sequence[Path]:
    """What turns files into latents and back counts for every item."""
    return closure(module, "refract.wan_text", "refract.wan_latents", "refract.video_io")
