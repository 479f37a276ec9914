"""The computations of one case with VACE: the clip itself, its swap without and with the photo."""

from pathlib import Path

from torch import Tensor

from refract.editing.cases.outputs import PLAIN_CLIP, REFERENCE_CLIP, SOURCE_CLIP
from refract.editing.cases.request import EditRequest, read_source_clip
from refract.editing.cases.vace_edit import (
    Embeddings,
    VaceSettings,
    edit_with_vace,
    load_source_masks,
    reads_negative,
)
from refract.media.image_reading import read_rgb, reading_px
from refract.media.video_io import Clip, read_clip, write_clip
from refract.models.vace import VaceModel


class VaceCaseEdit:
    """VACE has no source branch and no strength: its source item holds the fitted clip alone."""

    def __init__(
        self, model: VaceModel, request: EditRequest, contexts: dict[str, Tensor], source_slot: Path
    ) -> None:
        """contexts: prompt -> embedding. source_slot: where the source item is, once written."""
        flow = request.params.flowalign
        self.model, self.request, self._slot = model, request, source_slot
        self.embeddings: Embeddings = (
            contexts[request.case.target_prompt],
            contexts[flow.negative_prompt] if reads_negative(flow.guidance) else None,
        )

    def write_source(self, folder: Path) -> None:
        """Fit the clip to the frame."""
        clip = read_source_clip(self.model, self.request)
        write_clip(folder / SOURCE_CLIP, clip, "lossless")

    def write_plain(self, folder: Path) -> None:
        """The swap by the prompt alone."""
        self._write(folder / PLAIN_CLIP, None)

    def write_variant(self, _strength: float, folder: Path) -> None:
        """The swap with the product photo as reference image."""
        assert self.request.photo is not None
        self._write(folder / REFERENCE_CLIP, self.request.photo)

    def _write(self, path: Path, photo: Path | None) -> None:
        params, case = self.request.params, self.request.case
        flow, vace = params.flowalign, params.flowalign.vace
        clip = read_clip(self._slot / SOURCE_CLIP)
        mask = None
        if case.source_mask is not None:
            mask = load_source_masks(
                Path(case.source_mask), flow.frames, flow.height, flow.width, vace.dilate_px
            )
        frames = edit_with_vace(
            self.model,
            clip.frames,
            mask,
            None if photo is None else read_rgb(photo, reading_px(flow.height, flow.width)),
            self.embeddings,
            VaceSettings(
                steps=flow.steps,
                guidance=flow.guidance,
                shift=flow.shift,
                conditioning_scale=vace.conditioning_scale,
                seed=params.seed,
            ),
        )
        write_clip(path, Clip(frames, clip.fps), "lossless")
