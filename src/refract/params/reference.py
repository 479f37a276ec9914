"""The everyday knobs of the reference, top-level keys so that `-S ref_strength=0.5` works as is.

And the size of the clip's frame, which the making of a bank reads too.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo

from refract.media.frame_size import auto_frame
from refract.params.section import Items, Section

_RANGE = re.compile(r"(\d{1,4})-(\d{1,4})")
_LAYERS = (
    "must be all, middle, deep, a range such as '10-20' (end excluded) or a list of layer indices, "
    "each once"
)


def _check_layers(value: Any) -> str | tuple[int, ...]:
    if isinstance(value, str):
        span = _RANGE.fullmatch(value)
        if value in ("all", "middle", "deep") or (span and int(span[1]) < int(span[2])):
            return value
    elif isinstance(value, list | tuple):
        indices_only = all(type(index) is int and 0 <= index < 10_000 for index in value)
        if indices_only and len(set(value)) == len(value):
            return tuple(value)
    raise ValueError(_LAYERS)


RefStrength = Annotated[
    float,
    Field(
        ge=-10,
        le=10,
        description="weight of the reference; 0 is the plain edit, below 0 only with refdrop",
    ),
]
RefTimesteps = Annotated[
    Items[Annotated[float, Field(ge=0, le=1)]],
    Field(min_length=1, max_length=16, description="noise levels of the bank, averaged"),
]
Layers = Annotated[
    str | tuple[int, ...],
    BeforeValidator(_check_layers),
    Field(description="layers of the transformer"),
]
RefLayers = Annotated[Layers, Field(description="self-attention layers that see the reference")]
RefBranches = Annotated[
    Literal["target", "edited", "all", "guided"], Field(description="velocities that see it")
]


def check_sign(ref_mode: str, info: ValidationInfo) -> str:
    """Validator of `ref_mode`, declared behind `ref_strength`: who knows strengths below 0."""
    strength = info.data.get("ref_strength", 0.0)
    if strength < 0 and ref_mode != "refdrop":
        raise ValueError(f"knows no ref_strength below 0, but it is {strength:g}; refdrop does")
    return ref_mode


RefMode = Annotated[
    Literal["joint", "concat_scaled", "refdrop", "adain", "attn+adain"],
    AfterValidator(check_sign),
    Field(description="how the reference enters attention"),
]


_MULTIPLE = 16  # of a frame's sides
Pixels = Annotated[int, Field(ge=32, le=4096, multiple_of=_MULTIPLE)]


class VideoGrid(Section):
    """Reads its keys of the section and leaves the rest to `FlowAlign`."""

    model_config = ConfigDict(extra="ignore")

    width: Annotated[Pixels, Field(description="frame width, pixels")]
    height: Annotated[Pixels, Field(description="frame height, pixels")]
    frame: Annotated[
        Literal["auto", "fixed"], Field(description="auto keeps the clip's aspect in that area")
    ]

    def frame_of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the edit of a clip that is shown at width x height."""
        if self.frame == "fixed":
            return self.width, self.height
        return auto_frame(width, height, self.width * self.height, _MULTIPLE)[:2]
