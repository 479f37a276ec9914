"""A Wan transformer as the velocity callable that samplers see."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from refract.flowalign import Prompt

Branch = Literal["source", "edited", "target"]


class WanVelocity:
    """v(x, sigma, prompt) of a text-to-video transformer, in float32.

    Each call is one forward pass of batch 1: rows of a batch may differ in the last bit from the
    same input alone, and then equal prompts would no longer leave the source untouched.
    """

    def __init__(
        self,
        transformer: Any,
        contexts: Mapping[Prompt, Tensor],
        on_branch: Callable[[Branch], None] | None = None,
    ) -> None:
        """
        Args:
            contexts: prompt -> embedding (1, words, text_dim), typed like the transformer.
            on_branch: told before each pass which velocity it is: `source` is v(q, source prompt),
                `edited` v(p, source prompt), `target` v(p, target prompt).
        """
        self.transformer, self.contexts, self.on_branch = transformer, contexts, on_branch

    def __call__(self, x: Tensor, sigma: float, prompt: Prompt) -> Tensor:
        """The velocity at the edited point p."""
        return self._evaluate(x, sigma, prompt, "target" if prompt == "target" else "edited")

    def at_source(self, x: Tensor, sigma: float) -> Tensor:
        """v_q: the velocity at the noised source under the source prompt."""
        return self._evaluate(x, sigma, "source", "source")

    def _evaluate(self, x: Tensor, sigma: float, prompt: Prompt, branch: Branch) -> Tensor:
        if self.on_branch is not None:
            self.on_branch(branch)
        context = self.contexts[prompt]
        timestep = torch.full((len(x),), 1000 * sigma, device=x.device)
        v = self.transformer(x.to(context.dtype), timestep, context, return_dict=False)[0]
        return v.float()
