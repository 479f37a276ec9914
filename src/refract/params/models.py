"""The two generative models and how they are loaded."""

from typing import Annotated, Literal

from pydantic import Field

from refract.params.section import Section


class Model(Section):
    path: Annotated[
        str,
        Field(min_length=1, description="folder in diffusers layout or hub id; $VARIABLES expand"),
    ]
    revision: Annotated[
        str | None, Field(description="commit, tag or branch of a hub id; null takes main")
    ]
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], Field(description="precision of the weights")
    ]
    max_sequence_length: Annotated[
        int, Field(ge=1, le=512, description="prompt tokens given to the text encoder")
    ]


class InfraredModel(Model):
    """A FLUX.1-Fill-shaped image model."""


class VideoModel(Model):
    """A Wan2.1-T2V-shaped video model."""
