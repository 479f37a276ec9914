"""One case to edit: its clip, settings and reference, and the strengths asked for."""

from dataclasses import dataclass
from pathlib import Path

from refract.media.video_io import Clip, read_clip
from refract.models.wan import WanModel
from refract.params.cases import Case
from refract.params.edit_stage import EditParams


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


def read_source_clip(model: WanModel, request: EditRequest) -> Clip:
    """The clip fitted to the frame of the edit; InputError where the model cannot edit it."""
    flow = request.params.flowalign
    model.check_frame(flow.width, flow.height, flow.frames)
    return read_clip(Path(request.case.video), flow.frames, width=flow.width, height=flow.height)
