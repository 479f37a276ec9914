"""What a run of the benchmark at full scale is asked for, and the rows it gives."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import copyfile

from benchmarks.full_scale_models import Cut
from benchmarks.workspace import ROOT
from refract.params.section import SectionType
from refract.params.whole import load_stage_params
from refract.pipeline.profile import apply_profile

OUT_OF_MEMORY = "out of memory"
# What few steps skip tells nothing of many
NEEDS_WHOLE = "not run: a step cache needs --whole"


@dataclass(frozen=True)
class Scale:
    """steps: of the schedule that are run a call, None for all. words: of a prompt's embedding."""

    device: str
    dtype: str
    cut: Cut
    frames: int
    width: int
    height: int
    panel_px: int
    words: int
    steps: int | None
    repeats: int
    clock: Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One line of the table; None where there is nothing to say.

    ratio, low, high: times as long as `base`, the median of rounds and their range. seconds:
    median. peak: bytes. how: what was run for it, or why nothing was.
    """

    half: str
    options: str
    what: str
    how: str
    seconds: float | None = None
    base: str | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    peak: int | None = None


@cache
def full_settings(model: type[SectionType]) -> SectionType:
    """Settings of a stage under the full profile."""
    with tempfile.TemporaryDirectory(prefix="refract-benchmark-") as folder:
        params = Path(folder, "params.yaml")
        copyfile(ROOT / "params.yaml", params)
        apply_profile(params, ROOT / "profiles" / "full.yaml")
        return load_stage_params(model, params)
