"""Settings of the reference banks."""

from typing import Annotated, Literal

from pydantic import Field

from refract.params.models import InfraredModelParams, VideoModelParams
from refract.params.reference import RefTimesteps, VideoGrid
from refract.params.section import Section, Seed, one_of


class RefBank(Section):
    foreground: Annotated[
        Literal["auto", "mask", "all"], Field(description="which tokens of the photo are kept")
    ]
    pool: Annotated[
        int, one_of(1, 2, 4), Field(description="average pooling of bank tokens, a side")
    ]
    image_px: Annotated[
        int | None,
        Field(ge=32, le=2048, multiple_of=16, description="side of the photo; null: the video's"),
    ]
    infrared_steps: Annotated[
        int, Field(ge=1, le=1000, description="Euler steps of a reference made by infer_ir")
    ]


class BankParams(Section):
    seed: Seed
    ref_timesteps: RefTimesteps
    infrared_model: InfraredModelParams
    video_model: VideoModelParams
    ref_bank: RefBank
    flowalign: VideoGrid
