"""How params.yaml describes the use of a reference."""

from refract.params.edit_stage import EditParams
from refract.reference_edit import ReferenceSettings


def reference_settings(params: EditParams, strength: float) -> ReferenceSettings:
    """The reference of an edit at one strength, which need not be `params.ref_strength`."""
    flow = params.flowalign
    return ReferenceSettings(
        strength=strength,
        mode=params.ref_mode,
        layers=params.ref_layers,
        branches=params.ref_branches,
        rope=flow.ref_rope,
        steps=flow.ref_steps,
        frame_schedule=flow.ref_frame_schedule,
        guidance=flow.ref_guidance,
    )
