"""Settings of the triptych data set."""

from math import isclose
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refract.params.section import FileName, Section

Layout = Literal[
    "generic", "msrs", "llvip", "m3fd", "flir", "kaist", "roadscene", "dronevehicle", "table"
]
Share = Annotated[float, Field(ge=0, le=1, description="share of the scenes without a split")]


class Split(Section):
    train: Share
    val: Share
    test: Share

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.train + self.val + self.test
        if not isclose(total, 1.0, abs_tol=1e-6):
            raise ValueError(f"train + val + test = {total:g}: must be 1")
        return self


class SemanticMaps(Section):
    source: Annotated[
        Literal["provided", "model", "none"],
        Field(description="maps from the data set, from a segmenter, or an all-zero map"),
    ]
    model: Annotated[
        str | None,
        Field(
            min_length=1,
            description="segmenter for source model: folder or hub id; $VARIABLES expand",
        ),
    ]
    revision: Annotated[
        str | None,
        Field(
            description="commit, tag or branch of a hub id; null takes the pinned commit, else main"
        ),
    ]

    @model_validator(mode="after")
    def _model_is_named(self) -> Self:
        if self.source == "model" and self.model is None:
            raise ValueError(
                "source = model needs model, the folder or hub id of a Mask2Former or OneFormer"
            )
        return self


class PrepareTriptychs(Section):
    source: Annotated[
        FileName, Field(description="folder of the raw data set; a file for layout table")
    ]
    layout: Annotated[Layout, Field(description="how that folder is laid")]
    semantic: SemanticMaps
    panel_px: Annotated[
        int, Field(ge=32, le=2048, multiple_of=16, description="side of a square panel, pixels")
    ]
    split: Split
    prompt: Annotated[
        str, Field(min_length=1, max_length=2000, description="caption where the data has none")
    ]
