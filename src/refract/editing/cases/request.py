"""One case to edit: its template, settings and reference, and the strengths asked for."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from refract.editing.samplers.noise_levels import kept_steps
from refract.editing.samplers.registry import SAMPLERS
from refract.media.image_reading import is_picture
from refract.params.cases import Case
from refract.params.edit_stage import EditParams


class Shot(NamedTuple):
    """A run of a template's frames. first: counted from 0 at the case's rate."""

    first: int
    frames: int


@dataclass(frozen=True)
class EditRequest:
    """One case to edit.

    params: with the case's overrides. bank, photo: None without a product. is_baseline: a plain
    edit by another sampler beside the case's own, see `baselines`.
    """

    name: str
    case: Case
    params: EditParams
    bank: Path | None = None
    photo: Path | None = None
    is_baseline: bool = False

    @property
    def label(self) -> str:
        """How errors name it."""
        return f"case {self.name}" + (f": baseline {self.sampler}" if self.is_baseline else "")

    @property
    def sampler(self) -> str:
        return self.params.flowalign.sampler

    @property
    def has_reference(self) -> bool:
        """VACE takes the photo itself, the other samplers its bank."""
        return (self.photo if self.sampler == "vace" else self.bank) is not None

    @property
    def knows_region(self) -> bool:
        """Whether its sampler edits more inside a region than outside."""
        return self.sampler != "vace" and "region" in SAMPLERS[self.sampler].reads

    @property
    def steps(self) -> int:
        """Steps that its sampler runs."""
        flow = self.params.flowalign
        return flow.steps if self.sampler == "vace" else kept_steps(flow.steps, flow.strength)

    @property
    def strengths(self) -> list[float]:
        """Every strength but 0 to render: the curve's and the one asked for."""
        return sorted({*self.curve, self.result_strength} - {0.0})

    @property
    def result_strength(self) -> float:
        """The strength of the result; 0 is the plain edit."""
        return self.params.ref_strength if self.has_reference else 0.0

    @property
    def curve(self) -> list[float]:
        """The strengths of the curve; none without a product and in VACE, which knows none."""
        if not self.has_reference or self.sampler == "vace":
            return []
        return list(self.params.flowalign.strength_curve)


@dataclass(frozen=True, kw_only=True)
class ShotRequest(EditRequest):
    """One shot of a case to edit.

    frame: width and height of the edit. fps: of the template, frames a second.
    """

    shot: Shot
    frame: tuple[int, int]
    fps: float

    @classmethod
    def of(
        cls, request: EditRequest, shot: Shot, frame: tuple[int, int], fps: float
    ) -> "ShotRequest":
        whole = {field.name: getattr(request, field.name) for field in fields(request)}
        return cls(**whole, shot=shot, frame=frame, fps=fps)


def region_files(case: Case) -> dict[str, Path]:
    """The files of the region that the user gave, by names of their own."""
    if case.region_mask is None:
        return {}
    path = Path(case.region_mask)
    if not path.is_dir():
        return {"region": path}
    return {f"region/{file.name}": file for file in sorted(path.glob("*")) if is_picture(file)}
