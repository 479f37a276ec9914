"""Does an edited clip move as its source does, and does it flicker?

Pure functions: clips are 8-bit RGB `[T, H, W, 3]`, flows `[T-1, H, W, 2]` in pixels a frame (see
`optical_flow`). No measure here stands alone: each is blind to some way of failing, which its
docstring names.
"""

import math
from typing import NamedTuple

import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.evaluation.measures.image import to_unit
from refract.evaluation.measures.optical_flow import Flow, Frames, Mask, sample, warp
from refract.evaluation.measures.product import finite_mean, frame_changes

TRACK_METHOD = (
    "track fidelity: DIS flow followed from a grid of points, correlation of directions with the "
    "best partner nearby, after Yatim et al. 2023; neither their CoTracker tracklets nor their "
    "partners anywhere, so not their motion fidelity score"
)

STILL_PX = 0.2  # px a frame: slower than this is the noise of the flow, not a direction
TRACKLETS = 1024  # about, at most: from a grid of points
MIN_SPACING = 4  # px between neighbours of the grid; closer ones share their flow
REACH = 0.1  # of the frame's shorter side, between the starts of two tracklets to be partners

# Two frames rounded to 8 bits differ by this much in the mean square, [0, 1] units, however well
# they match: 2 / 12 of a squared level. Errors below are no errors.
ROUNDING_ERROR = 2 / 12 / 255**2

Steps = NDArray[np.float32]  # [N, T-1, 2], of each tracklet in each frame, px


class Tracks(NamedTuple):
    """starts: [N, 2], (x, y) in the first frame. steps: [N, T-1, 2], px a frame."""

    starts: NDArray[np.float32]
    steps: Steps


def warp_errors(clip: Frames, flows: Flow, occluded: Mask) -> list[float]:
    """Mean squared error of each frame against the next one warped back, [0, 1] units squared.

    E_warp of Lai et al. 2018 ("Learning Blind Video Temporal Consistency"): over the pixels of
    frame t that are visible in t+1 and all channels, as their code does. flows and `occluded`
    `[T-1, H, W]` are the **source's**: the clip is asked to move as the source does, not as
    itself, or a frozen clip would be perfect. nan for a pair without a visible pixel.

    Blind to how much there is to see: a flat clip has no error, and a source blurred by 2 px had
    a twentieth to a half of its own. An edit aims at the source's error, not at 0.
    """
    if not (len(clip) - 1, *clip.shape[1:3]) == flows.shape[:3] == occluded.shape:
        raise InputError(
            f"warp error: a clip of {clip.shape} with flows of {flows.shape} and a mask of "
            f"{occluded.shape}; each pair of frames needs one of either, of the frames' size"
        )
    frames, errors = to_unit(clip), []
    for now, following, flow, hidden in zip(frames[:-1], frames[1:], flows, occluded, strict=True):
        squared = np.square(now - warp(following, flow)[0], dtype=np.float64)[~hidden]
        errors.append(float(squared.mean()) if squared.size else float("nan"))
    return errors


def relative_warp_error(errors: list[float], source_errors: list[float]) -> float:
    """Mean warp error as a multiple of the source's own: 1 is the aim, above it the motion is lost.

    Over the pairs where the source has something visible. Either mean counts as `ROUNDING_ERROR`
    at least, so that a still source does not make every edit infinitely bad. nan for a single
    frame.
    """
    if len(errors) != len(source_errors):
        raise InputError(
            f"warp error: {len(errors)} pairs of frames against {len(source_errors)} of the "
            "source; both clips must have as many frames"
        )
    seen = np.isfinite(source_errors)
    if not seen.any():
        return float("nan")
    of_clip, of_source = (float(np.mean(np.asarray(e)[seen])) for e in (errors, source_errors))
    return max(of_clip, ROUNDING_ERROR) / max(of_source, ROUNDING_ERROR)


def track_fidelity(clip_flows: Flow, source_flows: Flow, reach: float = REACH) -> float:
    """How well the directions of motion agree, by `TRACK_METHOD`; -1 to 1, 1 is the aim.

    After the motion fidelity score of Yatim et al. 2023 ("Space-Time Diffusion Features for
    Zero-Shot Text-Driven Motion Transfer"): the mean over the source's tracklets of the best
    correlation with any of the clip's, and the same the other way round, averaged (the paper adds
    the two; the authors' code, and FiVE's after it, goes one way only). The correlation of two
    tracklets is the mean over frames of the cosine between their steps. It differs in:

    - tracklets: see `TRACK_METHOD`;
    - partners are sought within `reach` of the frame's shorter side, as an edit leaves things
      where they are; none there counts 0. Sought everywhere (`reach` of infinity, as published),
      one tracklet of some leg serves a whole background: a camera pan played in reverse has 0.94;
    - the cosine of what stands still is undefined. A tracklet below `STILL_PX` on average is no
      motion to be faithful to and is left out; a step where one of a pair stands still counts 0,
      one where both do is left out. So a frozen clip of a moving source has 0, a still source nan.

    Blind to speed. Sensitive to noise where there is no texture to follow.
    """
    if clip_flows.shape != source_flows.shape:
        raise InputError(
            f"track fidelity: flows of {clip_flows.shape} against the source's "
            f"{source_flows.shape}; both must have one shape"
        )
    clip, source = moving_tracks(clip_flows), moving_tracks(source_flows)
    if len(source.steps) == 0:
        return float("nan")
    if len(clip.steps) == 0:
        return 0.0
    offsets = clip.starts[:, None] - source.starts
    near = np.linalg.norm(offsets, axis=-1) <= reach * min(source_flows.shape[1:3])
    agreement = np.where(near, _correlations(clip.steps, source.steps), -np.inf)
    best = [np.where(near.any(way), agreement.max(way), 0).mean() for way in (0, 1)]
    return float(np.mean(best))


def temporal_flickering(clip: Frames) -> float:
    """VBench's temporal flickering (Huang et al. 2024): (255 - mean absolute difference) / 255.

    Over adjacent frames, in levels of 255; 1 is best and nan a single frame's. **A frozen video
    is perfect by it** and motion counts as flicker, for which VBench applies it to static scenes
    only. Read it beside a measure of motion and the source's own value, never alone.
    """
    return 1.0 - finite_mean(frame_changes(clip)) / 255.0


def moving_tracks(flows: Flow) -> Tracks:
    """The tracklets that move: points of a grid carried along by the flow.

    The grid starts in the first frame. A point that leaves the frame goes on with the flow of
    the border it left by; one that gets hidden is not noticed and goes on with what hides it.
    """
    count, height, width, _ = flows.shape
    starts = points = _grid(height, width)
    steps = np.zeros((len(points), count, 2), np.float32)
    for index, flow in enumerate(flows):
        x, y = rearrange(points, "n xy -> xy n 1")
        steps[:, index] = sample(flow, x, y)[:, 0]
        points = points + steps[:, index]
    speed = np.linalg.norm(steps, axis=-1).mean(1) if count else np.zeros(len(points))
    moves = speed >= STILL_PX
    return Tracks(starts[moves], steps[moves])


def _grid(height: int, width: int) -> NDArray[np.float32]:
    """Points of a square grid as (x, y), `[N, 2]`, about `TRACKLETS` at most."""
    spacing = max(MIN_SPACING, math.ceil(math.sqrt(height * width / TRACKLETS)))
    rows = np.arange((height - 1) % spacing // 2, height, spacing, dtype=np.float32)
    columns = np.arange((width - 1) % spacing // 2, width, spacing, dtype=np.float32)
    return rearrange(np.stack(np.meshgrid(columns, rows)), "xy h w -> (h w) xy")


def _correlations(steps: Steps, others: Steps) -> NDArray[np.float64]:
    """Mean cosine of the steps of every pair of tracklets, `[N, M]`, -1 to 1.

    Over the steps where at least one of the pair moves, 0 where only one does.
    """
    (a, a_still), (b, b_still) = _directions(steps), _directions(others)
    cosines = rearrange(a, "n t xy -> n (t xy)") @ rearrange(b, "m t xy -> m (t xy)").T
    moving = steps.shape[1] - a_still @ b_still.T
    return cosines / np.maximum(moving, 1)  # 0 / 0 where rounding calls a mean of STILL_PX moving


def _directions(steps: Steps) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps of unit length, 0 where still, `[N, T-1, 2]`; and 1 where still, `[N, T-1]`."""
    speed = np.linalg.norm(steps, axis=-1)
    still = speed < STILL_PX
    length = np.where(still, np.inf, speed)[..., None]
    return steps / length, still.astype(np.float64)
