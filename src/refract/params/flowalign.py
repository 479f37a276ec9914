"""Settings of the video edit."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from refract.params.reference import Layers, VideoGrid
from refract.params.section import Items, Section

BaselineSampler = Literal["flowedit", "sdedit"]
Words = Annotated[str, Field(min_length=1, max_length=200)]
ScheduleShare = Annotated[
    float, Field(gt=0, le=1, description="part of the schedule that is run, from the noisy end")
]
Guidance = Annotated[float, Field(ge=0, le=100, description="w towards the target prompt")]
SourceGuidanceScale = Annotated[
    float, Field(ge=0, le=100, description="guidance of FlowEdit's source branch")
]


def _check_frames(frames: int | None) -> int | None:
    if frames is not None and frames % 4 != 1:
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


def _check_distinct(samplers: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(samplers)) < len(samplers):
        raise ValueError("must name each sampler once")
    return samplers


def _check_schedule(schedule: object) -> str | tuple[float, ...]:
    if schedule == "constant":
        return "constant"
    if isinstance(schedule, list | tuple) and 2 <= len(schedule) <= 64:
        numbers = all(type(factor) in (int, float) and 0 <= factor <= 10 for factor in schedule)
        if numbers:
            return tuple(float(factor) for factor in schedule)
    raise ValueError("must be constant or a list of 2 to 64 factors of ref_strength, each 0 to 10")


class EditWindow(Section):
    """Windows over the latent frames, in which a clip longer than one is edited, in its frames."""

    frames: Annotated[
        int | None,
        Field(ge=5, le=1025, description="frames that a pass shows, 4k + 1; null for all of them"),
        AfterValidator(_check_frames),
    ]
    overlap: Annotated[
        int, Field(ge=0, le=1020, multiple_of=4, description="frames that neighbours share")
    ]

    @model_validator(mode="after")
    def _check_overlap(self) -> Self:
        if self.frames is not None and self.overlap > self.frames - 5:
            raise ValueError(
                f"overlap = {self.overlap}: must be less than the frames that a window adds, with "
                f"frames = {self.frames} at most {self.frames - 5}"
            )
        return self


class EditRegion(Section):
    """The region of the edited words, outside of which FlowAlign is pulled to the source more."""

    zeta_outside: Annotated[
        float | None, Field(ge=0, le=1, description="zeta outside the region; null for no region")
    ]
    words: Annotated[
        Items[Words] | None,
        Field(min_length=1, max_length=32, description="edited words; null finds them"),
    ]
    layers: Annotated[Layers, Field(description="cross-attention layers that show the region")]
    threshold: Annotated[float, Field(ge=0, le=1, description="attention from which it is inside")]


class FlowEditBaseline(Section):
    """Steps, shift and negative prompt are those of the section above."""

    strength: ScheduleShare
    guidance: Guidance
    source_guidance: SourceGuidanceScale


class SdEditBaseline(Section):
    """Steps, shift and negative prompt are those of the section above."""

    strength: ScheduleShare
    guidance: Guidance


class Baselines(Section):
    """Plain edits by other samplers, rendered beside each case's own."""

    samplers: Annotated[
        Items[BaselineSampler],
        Field(
            max_length=len(get_args(BaselineSampler)),
            description="samplers to render; an empty list for none",
        ),
        AfterValidator(_check_distinct),
    ]
    flowedit: FlowEditBaseline
    sdedit: SdEditBaseline


class Vace(Section):
    """The baseline sampler of a trained model with reference images, WanVACEPipeline."""

    path: Annotated[str | None, Field(min_length=1, description="folder or hub id; null for none")]
    revision: Annotated[
        str | None, Field(min_length=1, description="commit, tag or branch of a hub id")
    ]
    conditioning_scale: Annotated[
        float, Field(ge=0, le=10, description="weight of clip, mask and product photo")
    ]
    dilate_px: Annotated[
        int, Field(ge=0, le=512, description="pixels added around the source masks")
    ]


class FlowAlign(VideoGrid):
    model_config = ConfigDict(extra="forbid")

    sampler: Annotated[
        Literal["flowalign", BaselineSampler, "vace"], Field(description="editing algorithm")
    ]
    steps: Annotated[int, Field(ge=1, le=1000, description="steps of the whole schedule")]
    strength: ScheduleShare
    guidance: Guidance
    source_guidance: SourceGuidanceScale
    negative_prompt: Annotated[
        str, Field(max_length=2000, description="what guidance leads away from; not FlowAlign")
    ]
    zeta: Annotated[float, Field(ge=0, le=1, description="pull towards the source")]
    shift: Annotated[float, Field(gt=0, le=100, description="timestep shift of the schedule")]
    frames: Annotated[
        int | None,
        Field(ge=1, le=1 << 20, description="most frames of a shot that are edited; null: all"),
    ]
    window: EditWindow
    region: EditRegion
    ref_guidance: Annotated[float, Field(ge=0, le=100, description="w_ref, of ref_branches guided")]
    ref_rope: Annotated[
        Literal["before", "frame0", "after", "none"],
        Field(description="rotary position given to the reference's keys"),
    ]
    ref_frame_schedule: Annotated[
        str | tuple[float, ...],
        BeforeValidator(_check_schedule),
        Field(description="factors of ref_strength from the first frame to the last"),
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
    baselines: Baselines
    vace: Vace

    @model_validator(mode="after")
    def _check_baselines(self) -> Self:
        """Before any stage works; of the edit itself its schedule tells."""
        for sampler in self.baselines.samplers:
            strength = getattr(self.baselines, sampler).strength
            if round(self.steps * strength) < 1:
                raise ValueError(
                    f"baselines.{sampler}.strength = {strength:g} with steps = {self.steps} leaves "
                    "no step to run: steps * strength must be at least 0.5"
                )
        return self
