"""The everyday knobs of the reference, top-level keys so that `-S ref_strength=0.5` works as is."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from refract.params.section import Items

_RANGE = re.compile(r"(\d{1,4})-(\d{1,4})")
_LAYERS = (
    "must be all, middle, deep, a range such as '10-20' (end excluded) or a list of layer indices"
)


def _check_layers(value: Any) -> str | tuple[int, ...]:
    if isinstance(value, str):
        span = _RANGE.fullmatch(value)
        if value in ("all", "middle", "deep") or (span and int(span[1]) < int(span[2])):
            return value
    elif isinstance(value, list | tuple) and value:
        whole = all(type(index) is int and 0 <= index < 10_000 for index in value)
        if whole and len(set(value)) == len(value):
            return tuple(value)
    raise ValueError(_LAYERS)


RefStrength = Annotated[
    float,
    Field(ge=0, le=10, description="weight of the reference; 0 is the plain edit, 1 concatenation"),
]
RefTimesteps = Annotated[
    Items[Annotated[float, Field(ge=0, le=1)]],
    Field(min_length=1, max_length=16, description="noise levels of the bank, averaged"),
]
RefLayers = Annotated[
    str | tuple[int, ...],
    PlainValidator(_check_layers),
    Field(description="self-attention layers that see the reference"),
]
RefMode = Annotated[Literal["joint"], Field(description="how the reference enters attention")]
RefBranches = Annotated[
    Literal["target", "edited", "all"], Field(description="velocity branches that see it")
]
