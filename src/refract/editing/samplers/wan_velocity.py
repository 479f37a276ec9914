"""A Wan transformer as the velocity callable that samplers see."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from refract.editing.samplers.velocity import Branch, Prompt
from refract.editing.samplers.windows import Window, whole
from refract.models.step_cache import cached_pass

# Told before each forward pass which velocity it is, of which part of the clip
Listener = Callable[[Branch, Window], None]

_BRANCHES: dict[Prompt, Branch] = {
    "source": "edited", "negative": "edited", "target": "target", "reference": "reference",
}  # fmt: skip


class WanVelocity:
    """v(x, sigma, prompt) of a text-to-video transformer, in float32.

    Each call is one forward pass: rows of a batch may differ in the last bit from the same input
    alone, and then equal prompts would no longer leave the source untouched. Inside `step_cache`
    each velocity, by branch, prompt and window, has a cache of its own. `window` says which part of
    a clip x is, see `WindowedVelocity`; without it x is the whole one.
    """

    def __init__(
        self, transformer: Any, contexts: Mapping[Prompt, Tensor], *listeners: Listener
    ) -> None:
        """
        Args:
            contexts: prompt -> embedding (1, words, text_dim), typed like the transformer;
                `reference` takes that of `target`.
            listeners: told before each pass which velocity it is, and of which window.
        """
        self.transformer, self.contexts, self.listeners = transformer, contexts, listeners

    def __call__(
        self, x: Tensor, sigma: float, prompt: Prompt, window: Window | None = None
    ) -> Tensor:
        """The velocity at the edited point p."""
        return self._evaluate(x, sigma, prompt, _BRANCHES[prompt], window)

    def at_source(
        self, x: Tensor, sigma: float, prompt: Prompt = "source", window: Window | None = None
    ) -> Tensor:
        """v_q: the velocity at the noised source, under the source or negative prompt."""
        return self._evaluate(x, sigma, prompt, "source", window)

    def _evaluate(
        self, x: Tensor, sigma: float, prompt: Prompt, branch: Branch, window: Window | None
    ) -> Tensor:
        window = window or whole(x.shape[2])
        for listener in self.listeners:
            listener(branch, window)
        context = self.contexts["target" if prompt == "reference" else prompt]
        context = context.expand(len(x), -1, -1)
        timestep = torch.full((len(x),), 1000 * sigma, device=x.device)
        with cached_pass(self.transformer, f"{branch} {prompt} {window.start}"):
            v = self.transformer(x.to(context.dtype), timestep, context, return_dict=False)[0]
        return v.float()
