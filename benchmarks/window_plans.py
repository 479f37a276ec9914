"""Ways of dividing a long clip, for `benchmarks.windows`; "even" is that of the pipeline."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refract.editing.samplers.windows import Window, Windowed, plan_windows, whole

Span = tuple[int, int]  # first latent, one past the last


@dataclass(frozen=True)
class Division(Windowed):
    """How windows of `latents` that share `overlap` lie over a clip, and are blended.

    anchored: the clip's first latent stands in front of each further window. last: where the clip
    leaves less than a window at its end, that one is short, or shifted back to be whole, or all
    are spread evenly. ease: of the share (0..1) that a linear ramp gives.
    """

    anchored: bool = True
    last: Literal["short", "back", "even"] = "even"
    ease: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda share: share

    def plan(self, length: int) -> tuple[Window, ...]:
        if length <= self.latents:
            return (whole(length),)
        spans = self._spans(length)
        ramps = [self._ramp(length, spans, index) for index in range(len(spans))]
        total = np.sum(ramps, axis=0)
        return tuple(
            Window(
                start,
                stop,
                tuple((ramp / total)[start:stop].tolist()),
                length,
                anchored=self.anchored and start > 0,
            )
            for (start, stop), ramp in zip(spans, ramps, strict=True)
        )

    def _spans(self, length: int) -> list[Span]:
        more = int(not self.anchored)  # without an anchor a window has one latent more of its own
        if self.last == "even":
            windows = plan_windows(length, self.latents, self.overlap - more)
            return [(max(window.start - more, 0), window.stop) for window in windows]
        size, spans = self.latents - 1 + more, [(0, self.latents)]
        while spans[-1][1] < length:
            start = spans[-1][1] - self.overlap
            stop = min(start + size, length)
            spans.append((stop - size if self.last == "back" else start, stop))
        return spans

    def _ramp(self, length: int, spans: list[Span], index: int) -> NDArray[np.float64]:
        start, stop = spans[index]
        places = np.arange(length, dtype=float)
        ramp = ((places >= start) & (places < stop)).astype(float)
        if index > 0:
            shared = spans[index - 1][1] - start + 1
            ramp = np.minimum(ramp, self.ease(np.clip((places - start + 1) / shared, 0, 1)))
        if index + 1 < len(spans):
            shared = stop - spans[index + 1][0] + 1
            ramp = np.minimum(ramp, self.ease(np.clip((stop - places) / shared, 0, 1)))
        return ramp


def cosine(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(np.pi * share)


DIVISIONS: dict[str, Division] = {
    "no anchor, overlap 1": Division(5, 1, anchored=False),
    "no anchor, overlap 2": Division(5, 2, anchored=False),
    "anchor, overlap 0": Division(5, 0),
    "anchor, overlap 1": Division(5, 1),
    "anchor, overlap 2": Division(5, 2),
    "anchor, overlap 3": Division(5, 3),
    "anchor, overlap 2, last one short": Division(5, 2, last="short"),
    "anchor, overlap 2, last one shifted back": Division(5, 2, last="back"),
    "anchor, overlap 2, cosine ramps": Division(5, 2, ease=cosine),
}
