"""A Wan transformer as the velocity callable that samplers see."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from refract.editing.samplers.velocity import Branch, Prompt
from refract.models.step_cache import cached_pass

Listener = Callable[[Branch], None]

_BRANCHES: dict[Prompt, Branch] = {
    "source": "edited", "negative": "edited", "target": "target", "reference": "reference",
}  # fmt: skip


class WanVelocity:
    """v(x, sigma, prompt) of a text-to-video transformer, in float32.

    Each call is one forward pass: rows of a batch may differ in the last bit from the same input
    alone, and then equal prompts would no longer leave the source untouched. Inside `step_cache`
    each velocity, by branch and prompt, has a cache of its own.
    """

    def __init__(
        self, transformer: Any, contexts: Mapping[Prompt, Tensor], *listeners: Listener
    ) -> None:
        """
        Args:
            contexts: prompt -> embedding (1, words, text_dim), typed like the transformer;
                `reference` takes that of `target`.
            listeners: told before each pass which velocity it is.
        """
        self.transformer, self.contexts, self.listeners = transformer, contexts, listeners

    def __call__(self, x: Tensor, sigma: float, prompt: Prompt) -> Tensor:
        """The velocity at the edited point p."""
        return self._evaluate(x, sigma, prompt, _BRANCHES[prompt])

    def at_source(self, x: Tensor, sigma: float, prompt: Prompt = "source") -> Tensor:
        """v_q: the velocity at the noised source, under the source or negative prompt."""
        return self._evaluate(x, sigma, prompt, "source")

    def _evaluate(self, x: Tensor, sigma: float, prompt: Prompt, branch: Branch) -> Tensor:
        for listener in self.listeners:
            listener(branch)
        context = self.contexts["target" if prompt == "reference" else prompt]
        context = context.expand(len(x), -1, -1)
        timestep = torch.full((len(x),), 1000 * sigma, device=x.device)
        with cached_pass(self.transformer, f"{branch} {prompt}"):
            v = self.transformer(x.to(context.dtype), timestep, context, return_dict=False)[0]
        return v.float()
