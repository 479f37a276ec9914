"""Random latents, contexts and a bank of the tiny Wan model, for tests without VAE and text."""

from typing import Any

import torch
from torch import Tensor

from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.extraction import extract_bank
from refract.editing.samplers.velocity import Prompt
from tests.tiny.wan import TEXT_DIM, WORDS

PROMPTS: tuple[Prompt, ...] = ("source", "target", "negative")


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny_contexts() -> dict[Prompt, Tensor]:
    """A random embedding of each prompt."""
    return {prompt: draw(1, WORDS, TEXT_DIM, seed=seed) for seed, prompt in enumerate(PROMPTS)}


def tiny_bank(transformer: Any, contexts: dict[Prompt, Tensor]) -> ReferenceBank:
    """The bank of one random frame of 2 x 3 tokens at sigma 0.3."""
    return extract_bank(
        transformer, draw(1, 4, 1, 4, 6, seed=5), contexts["target"], [0.3],
        torch.ones(2, 3, dtype=torch.bool), generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
