"""Dense optical flow between the frames of a clip, warping by it, and where it cannot be trusted.

Flow is `[..., H, W, 2]`, (x, y) displacement in pixels from a frame to the next one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from einops import einsum
from numpy.typing import NDArray

from refract.base.errors import InputError
from refract.media.video_io import Frames

Flow = NDArray[np.float32]  # [..., H, W, 2]
Mask = NDArray[np.bool_]

# One line for the metadata of whatever is computed from these flows. The preset's finest scale is
# half the frame's: a quarter of full resolution's time and steadier under noise, at the price of a
# warp error of the source that is a third higher.
FLOW_METHOD = (
    "DIS optical flow (Kroeger et al. 2016), OpenCV 5, preset medium, on the luma of frames at "
    "their own size"
)

# px. OpenCV 5.0 refuses under 12 only, and under 16 makes pyramid levels that are smaller than its
# 8 px patches, reads beyond them and may crash the process (12 x 48 px does).
MIN_SIDE = 16

# Sundaram et al. 2010: how far forward and backward flow may miss each other.
CONSISTENCY_SLOPE, CONSISTENCY_FLOOR = 0.01, 0.5  # of the squared lengths; px^2


def frame_flows(clip: Frames) -> Flow:
    """Flow from each frame to the next, `[T-1, H, W, 2]`, by `FLOW_METHOD`.

    The backward flows of a clip, from frame t+1 to t, are `frame_flows(clip[::-1])[::-1]`.
    On one thread, as DIS cuts a frame into one stripe a thread and its result depends on them.
    Small frames have few pyramid levels: at 16 px motion of up to 2 px is found, at 32 px of 5.

    Raises InputError for another shape or type than 8-bit RGB and for frames under `MIN_SIDE`.
    """
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[-1] != 3:
        raise InputError(
            f"optical flow: got {clip.dtype} {clip.shape}; a clip is uint8 [frames, height, "
            "width, 3]"
        )
    import cv2  # not above: definitions name the method without measuring by it

    count, height, width, _ = clip.shape
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"optical flow: frames of {width} x {height} px are too small; "
            f"each side needs at least {MIN_SIDE} px"
        )
    flows = np.zeros((max(count - 1, 0), height, width, 2), np.float32)
    with one_thread():
        luma = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
        estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        for index in range(len(flows)):
            if index and (clip[index - 1 : index + 1] == clip[index : index + 2]).all():
                flows[index] = flows[index - 1]  # of a frozen clip
            else:
                flows[index] = estimator.calc(luma[index], luma[index + 1], None)
    return flows


def warp(frame: NDArray[np.generic], flow: Flow) -> tuple[NDArray[np.float32], Mask]:
    """The next frame as seen from this one: `frame` `[H, W]` or `[H, W, C]` sampled at x + flow(x).

    frame: frame t+1, flow: from t to t+1, `[H, W, 2]`. Bilinear, float32 in the frame's own units.
    The mask `[H, W]` is true where the sample lies inside the frame; elsewhere its border repeats.
    """
    height, width = flow.shape[:2]
    if frame.shape[:2] != (height, width):
        raise InputError(
            f"warp: a frame of {frame.shape[:2]} with a flow of {(height, width)}; "
            "both must have one height and width"
        )
    y, x = np.mgrid[:height, :width].astype(np.float32) + flow.transpose(2, 0, 1)[::-1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return sample(frame, x, y), inside


def sample(
    image: NDArray[np.generic], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`image` `[H, W]` or `[H, W, C]` at the positions (x, y) `[h, w]`, bilinear, float32.

    Outside the image its border repeats.
    """
    import cv2

    with one_thread():
        return cv2.remap(
            image.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )


def occlusions(forward: Flow, backward: Flow) -> Mask:
    """Pixels of frame t without a partner in frame t+1, `[T-1, H, W]`: hidden there, or outside.

    forward: flows from t to t+1; backward: from t+1 to t, both `[T-1, H, W, 2]`. A pixel counts as
    hidden where going there and back misses it, |w + w'(x + w)|^2 > 0.01 (|w|^2 + |w'|^2) + 0.5
    (Sundaram et al. 2010, "Dense point trajectories by GPU-accelerated large displacement
    optical flow"). Their second test, for motion boundaries, is left out: it would drop the
    product's outline, where a lost motion shows first.
    """
    if forward.shape != backward.shape:
        raise InputError(
            f"occlusions: forward flows {forward.shape}, backward flows {backward.shape}; "
            "both must have one shape"
        )
    hidden = np.zeros(forward.shape[:-1], bool)
    for index, (there, back) in enumerate(zip(forward, backward, strict=True)):
        returned, inside = warp(back, there)
        allowed = CONSISTENCY_SLOPE * (_squared(there) + _squared(returned)) + CONSISTENCY_FLOOR
        hidden[index] = ~inside | (_squared(there + returned) > allowed)
    return hidden


def _squared(flow: Flow) -> NDArray[np.float32]:
    return einsum(flow, flow, "h w c, h w c -> h w")


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV on one thread, and afterwards as it was: the setting is the whole process's."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
