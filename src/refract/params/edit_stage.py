"""What flowalign_edit reads of params.yaml."""

from refract.params.flowalign import FlowAlign
from refract.params.models import VideoModel
from refract.params.reference import RefBranches, RefLayers, RefMode, RefStrength
from refract.params.section import Section
from refract.params.seed import Seed


class EditParams(Section):
    seed: Seed
    ref_strength: RefStrength
    ref_layers: RefLayers
    ref_mode: RefMode
    ref_branches: RefBranches
    video_model: VideoModel
    flowalign: FlowAlign
