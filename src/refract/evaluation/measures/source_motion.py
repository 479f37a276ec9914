"""Measures over time, each against the source's own: what an edit must keep is its motion."""

from dataclasses import dataclass
from functools import cached_property

import torch

from refract.evaluation.measures.motion import (
    ROUNDING_ERROR,
    relative_warp_error,
    track_fidelity,
    warp_errors,
)
from refract.evaluation.measures.optical_flow import Flow, Mask, frame_flows, occlusions
from refract.evaluation.measures.product import (
    Frames,
    Measured,
    adjacent_similarities,
    finite_mean,
    frame_changes,
    merged,
)

STILL = 0.5  # levels of 255: a source that changes less from frame to frame stands still


@dataclass(frozen=True)
class SourceMotion:
    """The motion of one source `[T, H, W, 3]`; features: its frames' unit embeddings `[T, D]`."""

    source: Frames
    features: torch.Tensor

    @cached_property
    def flows(self) -> Flow:
        """From each frame to the next, `[T-1, H, W, 2]` px."""
        return frame_flows(self.source)

    @cached_property
    def hidden(self) -> Mask:
        """What has no partner in the next frame, `[T-1, H, W]`."""
        return occlusions(self.flows, frame_flows(self.source[::-1])[::-1])

    @cached_property
    def _errors(self) -> list[float]:
        return warp_errors(self.source, self.flows, self.hidden)

    @cached_property
    def _similarity(self) -> float:
        return finite_mean(adjacent_similarities(self.features))

    @cached_property
    def _change(self) -> float:
        """Mean change from frame to frame; nan for a source that stands still."""
        change = finite_mean(frame_changes(self.source))
        return change if change > STILL else float("nan")

    def measures(self, clip: Frames, features: torch.Tensor) -> Measured:
        """All measures of a clip of the source's shape, features as the source's.

        A frozen video scores highest on plain frame similarity, as VBench's subject consistency
        (DINO) and background consistency (CLIP) have it (Huang et al. 2024: cosine of a frame
        to the one before and to the first); here the cosine of neighbours is divided by the
        source's, so that freezing shows as a consistency above 1, beside a change of 0.
        """
        return merged(
            _relative("temporal.relative_change", frame_changes(clip), self._change),
            _relative(
                "temporal.relative_consistency", adjacent_similarities(features), self._similarity
            ),
            self._warping(clip),
            Measured(
                {"temporal.motion_fidelity_dis": track_fidelity(frame_flows(clip), self.flows)}, {}
            ),
        )

    def _warping(self, clip: Frames) -> Measured:
        """`temporal.relative_warp_error`; a pair's error is a multiple of the source's mean."""
        key = "temporal.relative_warp_error"
        errors = warp_errors(clip, self.flows, self.hidden)
        source_error = max(finite_mean(self._errors), ROUNDING_ERROR)
        score = relative_warp_error(errors, self._errors)
        return Measured({key: score}, {key: [error / source_error for error in errors]})


def _relative(key: str, values: list[float], of_source: float) -> Measured:
    """The values of pairs of frames as multiples of the source's mean."""
    return Measured(
        {key: finite_mean(values) / of_source}, {key: [value / of_source for value in values]}
    )
