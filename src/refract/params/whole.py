"""All of params.yaml, and how a stage reads its part of it."""

from pathlib import Path

from refract.base.errors import InputError
from refract.base.yaml_files import read_yaml
from refract.params.deliver import Deliver
from refract.params.evaluate import Evaluate
from refract.params.explain import unknown_key
from refract.params.flowalign import FlowAlign
from refract.params.infer_ir import InferIr
from refract.params.ir_adapter import IrAdapter
from refract.params.models import InfraredModelParams, VideoModelParams
from refract.params.prepare_triptychs import PrepareTriptychs
from refract.params.ref_bank import RefBank
from refract.params.reference import RefBranches, RefLayers, RefMode, RefStrength, RefTimesteps
from refract.params.section import Section, SectionType, Seed, check_banned_names, validate


class Params(Section):
    """The whole of params.yaml."""

    seed: Seed
    ref_strength: RefStrength
    ref_timesteps: RefTimesteps
    ref_layers: RefLayers
    ref_mode: RefMode
    ref_branches: RefBranches
    infrared_model: InfraredModelParams
    video_model: VideoModelParams
    prepare_triptychs: PrepareTriptychs
    ir_adapter: IrAdapter
    infer_ir: InferIr
    ref_bank: RefBank
    flowalign: FlowAlign
    deliver: Deliver
    evaluate: Evaluate


def load_stage_params(model: type[SectionType], path: Path) -> SectionType:
    """The top-level keys of params.yaml that `model` declares, validated.

    Raises InputError with one line naming the first bad key, its value and what is allowed; a
    top-level key that no stage knows is one too.
    """
    document = read_yaml(path)
    check_banned_names(path, document)
    for key, value in document.items():
        if key not in Params.model_fields:
            raise InputError(f"{path}: {unknown_key(key, value, list(Params.model_fields))}")
    part = {key: value for key, value in document.items() if key in model.model_fields}
    return validate(model, part, path)
