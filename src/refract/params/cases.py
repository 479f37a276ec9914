"""The editing cases of data/cases.yaml."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from refract.base.errors import InputError, shorten
from refract.base.yaml_files import read_yaml
from refract.params.section import FileName, Section, SectionType, check_banned_names, validate

# DVC fails on ids with `.`, `[` or `@`, and drops unquoted ones such as `1` or `True`. Files and
# folders are named by an id, which a file system allows 255 letters.
_CASE_ID = re.compile(r"[a-z][a-z0-9_-]{0,99}")
OVERRIDABLE = (
    "seed", "ref_strength", "ref_timesteps", "ref_layers", "ref_mode", "ref_branches",
    "ref_bank", "flowalign", "deliver",
)  # fmt: skip
INFRARED_REFERENCE = "infer_ir"  # as `target_image`: the infrared translation of the first frame


def _check_words(text: str) -> str:
    if not text.strip():
        raise ValueError("must hold more than blanks")
    return text


Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_check_words)]


class Span(Section):
    """Seconds of a template, from its start."""

    start: Annotated[float, Field(ge=0, description="first second that is edited")] = 0.0
    end: Annotated[
        float | None, Field(gt=0, description="second the edit ends before; null: the clip's end")
    ] = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end = {self.end:g}: must be above start = {self.start:g}")
        return self


def _check_shots(shots: object) -> object:
    if shots in ("auto", "none"):
        return shots
    if isinstance(shots, list | tuple) and 1 <= len(shots) <= 1000:
        spans = [tuple(span) for span in shots if isinstance(span, list | tuple)]
        numbers = all(type(time) in (int, float) and time >= 0 for span in spans for time in span)
        if numbers and len(spans) == len(shots) and all(len(span) == 2 for span in spans):
            times = [float(time) for span in spans for time in span]
            rising = all(low < high for low, high in zip(times[::2], times[1::2], strict=True))
            if rising and times == sorted(times):
                return tuple((start, end) for start, end in spans)
    raise ValueError(
        "must be auto, none or a list of [start, end] in seconds, start < end, in order and apart"
    )


Shots = Annotated[
    str | tuple[tuple[float, float], ...],
    BeforeValidator(_check_shots),
    Field(description="clips of its own within the clip"),
]


class Case(Section):
    """One edit. Paths are relative to the repository root."""

    video: Annotated[FileName, Field(description="clip to edit")]
    clip: Annotated[Span, Field(description="part of the video that is edited")] = Span()
    shots: Shots = "auto"
    fps: Annotated[
        float | None, Field(gt=0, le=240, description="frames a second; null: the video's own")
    ] = None
    source_prompt: Annotated[Text, Field(description="what the clip shows")]
    target_prompt: Annotated[Text, Field(description="what the edit shall show")]
    target_image: Annotated[
        FileName | None,
        Field(description="product photo, or infer_ir; null looks for <case>.* beside the clip"),
    ] = None
    target_image_mask: Annotated[
        FileName | None, Field(description="product in the photo, for ref_bank.foreground: mask")
    ] = None
    first_frame_map: Annotated[
        FileName | None,
        Field(description="semantic map of the clip's first frame, for target_image: infer_ir"),
    ] = None
    region_mask: Annotated[
        FileName | None,
        Field(description="where to edit: a picture, a folder of pictures or a clip, white inside"),
    ] = None
    source_mask: Annotated[
        FileName | None, Field(description="folder of the object's masks, a PNG a frame")
    ] = None
    target_mask: Annotated[
        FileName | None, Field(description="folder of the edited object's masks, a PNG a frame")
    ] = None
    overrides: Annotated[
        dict[str, Any],
        Field(default_factory=dict, description="edit settings of this case alone, nested alike"),
    ]


class CasesFile(Section):
    cases: Annotated[dict[str, Case], Field(min_length=1, description="case id -> case")]


def load_cases(path: Path) -> dict[str, Case]:
    """Case id -> case, in the order of the file; InputError with one line for anything amiss."""
    document = read_yaml(path)
    check_banned_names(path, document)
    cases = validate(CasesFile, document, path).cases
    for name, case in cases.items():
        if not _CASE_ID.fullmatch(name):
            raise InputError(f"{path}: case id {shorten(name)}: must match {_CASE_ID.pattern}")
        if case.first_frame_map is not None and case.target_image != INFRARED_REFERENCE:
            raise InputError(
                f"{path}: cases.{name}.first_frame_map: only target_image: {INFRARED_REFERENCE} "
                "has a use for it"
            )
        for key in case.overrides:
            if key not in OVERRIDABLE:
                raise InputError(
                    f"{path}: cases.{name}.overrides.{key}: unknown key; "
                    f"allowed are {', '.join(OVERRIDABLE)}"
                )
    return cases


def with_overrides(params: SectionType, name: str, case: Case) -> SectionType:
    """A stage's params with a case's overrides merged in; keys the stage lacks do not concern it.

    Raises InputError naming `cases.<name>.overrides` for a value the section refuses.
    """
    overrides = {
        key: value for key, value in case.overrides.items() if key in type(params).model_fields
    }
    if not overrides:
        return params
    merged = _merge(params.model_dump(), overrides)
    return validate(type(params), merged, f"cases.{name}.overrides")


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        nested = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(below, value) if nested else value  # type: ignore[arg-type]
    return merged
