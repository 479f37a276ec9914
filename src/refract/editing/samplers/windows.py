"""The velocity of a long clip, blended at every step from passes over overlapping windows in time.

A video model edits well at the length it was trained on and weakly beyond it, so a long clip is
shown to it in windows. Noise, bank and region stay those of the whole clip. As MultiDiffusion
(arXiv 2302.08113) has it in space, neighbours share latents and their velocities are averaged
there. A causal VAE's first latent stands for one frame, the others for four; the model has seen
no clip without such a beginning, so that latent stands in front of every window, as its anchor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from refract.editing.samplers.velocity import Prompt


class Window(NamedTuple):
    """What one forward pass shows of a clip, in latent frames.

    Attributes:
        start, stop: the latents that the pass answers for, stop excluded.
        weights: their share in the blend, 0..1; over all windows they sum to 1 at every latent.
        length: latents of the clip.
        anchored: whether the clip's first latent stands in front of them, to be seen alone.
    """

    start: int
    stop: int
    weights: tuple[float, ...]
    length: int
    anchored: bool = False

    @property
    def frames(self) -> list[int]:
        """The latents of the clip that the pass shows, in order."""
        return [0] * self.anchored + list(range(self.start, self.stop))

    def add(self, part: Tensor, clip: Tensor, dim: int) -> None:
        """Add what a pass gives, weighed, to its place in the clip; the anchor is left out.

        Args:
            part: shaped like `clip`, but for `dim`, along which it has an entry a latent shown.
            dim: the axis of latent frames.
        """
        count = self.stop - self.start
        shape = [count if axis == dim % clip.ndim else 1 for axis in range(clip.ndim)]
        weights = torch.tensor(self.weights, dtype=clip.dtype, device=clip.device).view(shape)
        own = part.narrow(dim, part.shape[dim] - count, count)
        clip.narrow(dim, self.start, count).add_(weights * own)


@dataclass(frozen=True)
class Windowed:
    """How a clip is divided: `latents` that a pass shows and the `overlap` of neighbours."""

    latents: int
    overlap: int

    def plan(self, length: int) -> tuple[Window, ...]:
        return plan_windows(length, self.latents, self.overlap)


def whole(length: int) -> Window:
    """The window that shows a clip of `length` latents all at once."""
    return Window(0, length, (1.0,) * length, length)


def plan_windows(length: int, latents: int, overlap: int) -> tuple[Window, ...]:
    """Windows over a clip of `length` latents; a clip that fits into one gets no other.

    All show `latents` of them. The first begins with the clip, each further one shows the anchor
    and `latents - 1` others, of which it shares at least `overlap` with the window before it: the
    starts are spread evenly to the clip's end, so that no window is short. Where windows overlap,
    their weights are linear ramps divided by their sum.

    Raises ValueError unless 0 <= overlap < latents - 1, or for an empty clip.
    """
    if length < 1 or not 0 <= overlap < latents - 1:
        raise ValueError(f"{length} latents in windows of {latents} that overlap by {overlap}")
    if length <= latents:
        return (whole(length),)
    spans = [(0, latents), *_further(length, latents, overlap)]
    ramps = [_ramp(length, spans, index) for index in range(len(spans))]
    total = torch.stack(ramps).sum(0)
    return tuple(
        Window(start, stop, tuple((ramp / total)[start:stop].tolist()), length, anchored=start > 0)
        for (start, stop), ramp in zip(spans, ramps, strict=True)
    )


def _further(length: int, latents: int, overlap: int) -> list[tuple[int, int]]:
    """Start and stop of the windows behind the first."""
    size = latents - 1
    count = -(-(length - latents) // (size - overlap))
    stops = [latents + (length - latents) * index // count for index in range(1, count + 1)]
    return [(stop - size, stop) for stop in stops]


def _ramp(length: int, spans: Sequence[tuple[int, int]], index: int) -> Tensor:
    """Weights (length,) before they are divided by their sum: 0 outside the window, 1 inside it.

    They rise and fall over what the window shares with the ones beside it.
    """
    start, stop = spans[index]
    places = torch.arange(length, dtype=torch.float64)
    ramp = ((places >= start) & (places < stop)).double()
    if index > 0:
        shared = spans[index - 1][1] - start
        ramp = ramp.minimum((places - start + 1).clamp(min=0) / (shared + 1))
    if index + 1 < len(spans):
        shared = stop - spans[index + 1][0]
        ramp = ramp.minimum((stop - places).clamp(min=0) / (shared + 1))
    return ramp


class PassVelocity(Protocol):
    """What `WanVelocity` offers: a velocity that is told which part of the clip it is given."""

    def __call__(
        self, x: Tensor, sigma: float, prompt: Prompt, window: Window | None = None
    ) -> Tensor: ...

    def at_source(
        self, x: Tensor, sigma: float, prompt: Prompt = "source", window: Window | None = None
    ) -> Tensor: ...


class WindowedVelocity:
    """v(x, sigma, prompt) of a clip (1, c, f, h, w), evaluated in windows over its latents f."""

    def __init__(self, velocity: PassVelocity, windowed: Windowed | None) -> None:
        """windowed: None for one pass over the whole clip, however long."""
        self.velocity, self.windowed = velocity, windowed

    def __call__(self, x: Tensor, sigma: float, prompt: Prompt) -> Tensor:
        """The velocity at the edited point p."""
        return self._blend(x, lambda part, window: self.velocity(part, sigma, prompt, window))

    def at_source(self, x: Tensor, sigma: float, prompt: Prompt = "source") -> Tensor:
        """v_q: the velocity at the noised source, under the source or negative prompt."""
        return self._blend(
            x, lambda part, window: self.velocity.at_source(part, sigma, prompt, window)
        )

    def _blend(self, x: Tensor, evaluate: Callable[[Tensor, Window], Tensor]) -> Tensor:
        length = x.shape[2]
        windows = self.windowed.plan(length) if self.windowed else (whole(length),)
        if len(windows) == 1:
            return evaluate(x, windows[0])
        clip = torch.zeros_like(x)
        for window in windows:
            window.add(evaluate(x[:, :, window.frames], window), clip, 2)
        return clip
