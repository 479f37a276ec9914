"""What flowalign_edit reads of params.yaml."""

from typing import Self

from pydantic import model_validator

from refract.params.deliver import Deliver
from refract.params.flowalign import FlowAlign
from refract.params.models import VideoModelParams
from refract.params.reference import RefBranches, RefLayers, RefMode, RefStrength
from refract.params.section import Section, Seed


class EditParams(Section):
    seed: Seed
    ref_strength: RefStrength
    ref_layers: RefLayers
    ref_mode: RefMode
    ref_branches: RefBranches
    video_model: VideoModelParams
    flowalign: FlowAlign
    deliver: Deliver

    @model_validator(mode="after")
    def _check_step_cache(self) -> Self:
        """Before any model is loaded."""
        flow = self.flowalign
        if self.video_model.step_cache is None:
            return self
        if flow.sampler == "vace":
            raise ValueError(
                "video_model.step_cache does not go with flowalign.sampler vace, whose condition "
                "enters between the blocks: set it to null"
            )
        if flow.sampler == "flowalign" and flow.region.zeta_outside is not None:
            raise ValueError(
                "video_model.step_cache does not go with flowalign.region, which is read in blocks "
                "that it skips: set it or flowalign.region.zeta_outside to null"
            )
        return self
