"""Settings of the reference banks."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refract.params.models import InfraredModelParams, VideoModelParams
from refract.params.reference import RefTimesteps, VideoGrid
from refract.params.section import FileName, Section, Seed, one_of


class RefBank(Section):
    foreground: Annotated[
        Literal["auto", "mask", "model", "all"],
        Field(description="which tokens of the photo are kept"),
    ]
    foreground_model: Annotated[
        FileName | None,
        Field(description="ONNX file of a salient-object network, for foreground: model"),
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

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        if self.foreground == "model" and self.foreground_model is None:
            raise ValueError("foreground: model needs foreground_model, a network's ONNX file")
        return self

    @property
    def network(self) -> Path | None:
        """The file of the network that tells the product, where one does; $VARIABLES expanded."""
        if self.foreground != "model" or self.foreground_model is None:
            return None
        return Path(os.path.expandvars(self.foreground_model)).expanduser()


class BankParams(Section):
    seed: Seed
    ref_timesteps: RefTimesteps
    infrared_model: InfraredModelParams
    video_model: VideoModelParams
    ref_bank: RefBank
    flowalign: VideoGrid
