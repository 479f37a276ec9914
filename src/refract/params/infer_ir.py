"""Settings of the infrared inference."""

from typing import Annotated

from pydantic import Field

from refract.params.section import Section


class InferIr(Section):
    steps: Annotated[int, Field(ge=1, le=1000, description="Euler steps")]
    guidance: Annotated[
        float | None,
        Field(ge=0, le=100, description="guidance embedding; null takes the training's"),
    ]
    prompt: Annotated[
        str | None,
        Field(min_length=1, max_length=2000, description="null takes the captions"),
    ]
    match_training: Annotated[
        bool, Field(description="refuse a guidance, prompt or model other than the training's")
    ]
    batch: Annotated[int, Field(ge=1, le=4096, description="images a forward pass")]
    input: Annotated[
        str | None,
        Field(min_length=1, description="folder of own visible images; null for none"),
    ]
