"""Settings of the infrared inference."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from refract.params.section import FileName, Items, Section, one_of


def _check_region(region: tuple[float, ...]) -> tuple[float, ...]:
    x0, y0, x1, y1 = region
    if x0 >= x1 or y0 >= y1:
        raise ValueError("must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    return region


RegionCorners = Annotated[
    Items[Annotated[float, Field(ge=0, le=1)]],
    Field(min_length=4, max_length=4, description="[x0, y0, x1, y1] in shares of the panel"),
    AfterValidator(_check_region),
]


class AttentionMaps(Section):
    regions: Annotated[
        Items[RegionCorners] | None,
        Field(min_length=1, max_length=16, description="of the infrared image; null for no maps"),
    ]
    steps: Annotated[
        Items[Annotated[int, Field(ge=0, le=999)]],
        Field(min_length=1, max_length=16, description="Euler steps at which they look, from 0"),
    ]
    scenes: Annotated[int, Field(ge=1, le=1000, description="first test scenes that get maps")]


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
        FileName | None, Field(description="folder of own visible images; null for none")
    ]
    samples: Annotated[
        int, Field(ge=1, le=64, description="samples from independent noise a picture averages")
    ]
    bits: Annotated[int, one_of(8, 16), Field(description="bits a pixel of the pictures")]
    attention_maps: AttentionMaps

    @model_validator(mode="after")
    def _steps_that_are_run(self) -> Self:
        maps = self.attention_maps
        if maps.regions and max(maps.steps) >= self.steps:
            raise ValueError(
                f"attention_maps.steps holds {max(maps.steps)}: with steps = {self.steps} the "
                f"last one is {self.steps - 1}"
            )
        return self
