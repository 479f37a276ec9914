"""What extract_ref_banks reads of params.yaml."""

from refract.params.models import InfraredModel, VideoModel
from refract.params.ref_bank import RefBank
from refract.params.reference import RefTimesteps
from refract.params.section import Section
from refract.params.seed import Seed
from refract.params.video_grid import VideoGrid


class BankParams(Section):
    seed: Seed
    ref_timesteps: RefTimesteps
    infrared_model: InfraredModel
    video_model: VideoModel
    ref_bank: RefBank
    flowalign: VideoGrid
