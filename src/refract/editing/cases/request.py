"""One case to edit: its template, settings and reference, and the strengths asked for."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import repeat
from pathlib import Path

from refract.base.errors import InputError
from refract.editing.cases.outputs import SOURCE_CLIP
from refract.editing.cases.shots import Shot
from refract.editing.samplers.noise_levels import kept_steps
from refract.media.image_reading import is_picture
from refract.media.region_mask import read_region
from refract.media.regions import BoolArray
from refract.media.video_io import Frames, fit_frame, read_frames, write_frames
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


def user_region(request: ShotRequest, path: Path) -> Iterator[BoolArray]:
    """The case's region_mask [H, W] in each frame of the shot; its errors name the key."""
    first, count = request.shot
    try:
        yield from read_region(path, first, count, request.frame, fps=request.case.fps)
    except InputError as error:
        raise InputError(f"cases.{request.name}.region_mask: {error}") from error


def write_source_clip(model: WanModel, request: ShotRequest, path: Path) -> None:
    """Write the shot, fitted to the frame of the edit.

    Raises InputError where the model cannot edit a clip of this shape.
    """
    width, height = request.frame
    model.check_frame(width, height, model.padded(request.shot.frames))
    shown = read_frames(
        Path(request.case.video),
        fps=request.case.fps,
        first=request.shot.first,
        count=request.shot.frames,
    )
    fitted = (fit_frame(frame.pixels, width, height) for frame in shown)
    write_frames(path, fitted, request.fps, "lossless")


def read_source_clip(model: WanModel, request: ShotRequest, slot: Path) -> Iterator[Frames]:
    """The frames that `write_source_clip` wrote to a slot.

    The last one is repeated as the packing of the video VAE asks.
    """
    last: Frames | None = None
    for frame in read_frames(slot / SOURCE_CLIP):
        last = frame.pixels
        yield last
    assert last is not None
    yield from repeat(last, model.padded(request.shot.frames) - request.shot.frames)
