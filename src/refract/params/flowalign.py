"""Settings of the video edit."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from refract.params.section import Items
from refract.params.video_grid import VideoGrid


def _check_frames(frames: int) -> int:
    if frames % 4 != 1:
        raise ValueError("must be 4k + 1 (the video VAE packs 4 frames a latent after the first)")
    return frames


def _check_span(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] >= span[1]:
        raise ValueError("must be [start, stop] with start < stop")
    return span


def _check_curve(curve: tuple[float, ...]) -> tuple[float, ...]:
    if list(curve) != sorted(set(curve)):
        raise ValueError("must rise from value to value")
    return curve


class FlowAlign(VideoGrid):
    model_config = ConfigDict(extra="forbid")

    sampler: Annotated[Literal["flowalign"], Field(description="editing algorithm")]
    steps: Annotated[int, Field(ge=1, le=1000, description="steps of the whole schedule")]
    strength: Annotated[
        float, Field(gt=0, le=1, description="part of the schedule that is run, from the noisy end")
    ]
    guidance: Annotated[float, Field(ge=0, le=100, description="w between source and target")]
    zeta: Annotated[float, Field(ge=0, le=1, description="pull towards the source")]
    shift: Annotated[float, Field(gt=0, le=100, description="timestep shift of the schedule")]
    frames: Annotated[
        int,
        Field(ge=1, le=1025, description="frames of a clip, 4k + 1"),
        AfterValidator(_check_frames),
    ]
    rope: Annotated[
        Literal["before", "frame0", "after", "none"],
        Field(description="rotary position given to the reference's keys"),
    ]
    ref_steps: Annotated[
        Items[Annotated[float, Field(ge=0, le=1)]],
        Field(min_length=2, max_length=2, description="fractions of the steps with the reference"),
        AfterValidator(_check_span),
    ]
    strength_curve: Annotated[
        Items[Annotated[float, Field(ge=0, le=10)]],
        Field(max_length=32, description="further values of ref_strength rendered for the curve"),
        AfterValidator(_check_curve),
    ]
