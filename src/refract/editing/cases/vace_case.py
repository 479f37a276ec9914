"""The computations of one case with VACE: the clip itself, its swap without and with the photo."""

from pathlib import Path

import numpy as np
from torch import Tensor

from refract.editing.cases.outputs import PLAIN_CLIP, REFERENCE_CLIP, SOURCE_CLIP
from refract.editing.cases.request import ShotRequest
from refract.editing.cases.source_clip import read_source_clip, write_source_clip
from refract.editing.cases.vace_edit import (
    Embeddings,
    VaceSettings,
    edit_with_vace,
    load_source_masks,
    reads_negative,
)
from refract.media.image_reading import read_rgb, reading_px
from refract.media.regions import BoolArray
from refract.media.video_io import write_frames
from refract.models.vace import VaceModel


class VaceCaseEdit:
    """VACE has no source branch and no strength: its source item holds the fitted clip alone."""

    def __init__(
        self, model: VaceModel, request: ShotRequest, contexts: dict[str, Tensor], source_slot: Path
    ) -> None:
        """contexts: prompt -> embedding. source_slot: where the source item is, once written."""
        flow = request.params.flowalign
        self.model, self.request, self.slot = model, request, source_slot
        self.embeddings: Embeddings = (
            contexts[request.case.target_prompt],
            contexts[flow.negative_prompt] if reads_negative(flow.guidance) else None,
        )

    def write_source(self, folder: Path) -> None:
        """Fit the clip to the frame."""
        write_source_clip(self.model, self.request, folder / SOURCE_CLIP)

    def write_plain(self, folder: Path) -> None:
        """The swap by the prompt alone."""
        self._write(folder / PLAIN_CLIP, None)

    def write_variant(self, _strength: float, folder: Path) -> None:
        """The swap with the product photo as reference image."""
        assert self.request.photo is not None
        self._write(folder / REFERENCE_CLIP, self.request.photo)

    def _write(self, path: Path, photo: Path | None) -> None:
        params, request = self.request.params, self.request
        flow = params.flowalign
        frames = np.stack(list(read_source_clip(self.model, request, self.slot)))
        edited = edit_with_vace(
            self.model,
            frames,
            self._mask(len(frames)),
            None if photo is None else read_rgb(photo, reading_px(*frames.shape[1:3])),
            self.embeddings,
            VaceSettings(
                steps=flow.steps,
                guidance=flow.guidance,
                shift=flow.shift,
                conditioning_scale=flow.vace.conditioning_scale,
                seed=params.seed,
            ),
        )
        write_frames(path, edited[: request.shot.frames], request.fps, "lossless")

    def _mask(self, padded: int) -> BoolArray | None:
        """Where the model paints, [padded, H, W]; None for everywhere."""
        request = self.request
        if request.case.source_mask is None:
            return None
        width, height = request.frame
        mask = load_source_masks(
            Path(request.case.source_mask),
            request.shot,
            height,
            width,
            request.params.flowalign.vace.dilate_px,
        )
        return np.concatenate([mask, mask[-1:].repeat(padded - len(mask), axis=0)])
