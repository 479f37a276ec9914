"""Velocity fields whose every value is known, for tests of the samplers."""

import torch
from torch import Tensor


def constant(x: Tensor, sigma: float, prompt: str) -> Tensor:
    levels = {"source": 0.7, "target": -1.3, "negative": 0.2, "reference": 2.1}
    return torch.full_like(x, levels[prompt])


def linear(x: Tensor, sigma: float, prompt: str) -> Tensor:
    slopes = {"source": 0.6, "target": -0.4, "negative": 0.3, "reference": -0.9}
    offsets = {"source": 0.1, "target": 0.5, "negative": -0.2, "reference": 0.8}
    return slopes[prompt] * x + offsets[prompt] * (1 + sigma)


def gaussian(x: Tensor, sigma: float, prompt: str) -> Tensor:
    """E[eps - x_0 | x] where x_0 is normal around a mean with a deviation, by prompt."""
    moments = {
        "source": (1.0, 0.5),
        "target": (-2.0, 0.8),
        "negative": (0.0, 1.5),
        "reference": (-3.0, 0.3),
    }
    mean, deviation = moments[prompt]
    variance = (1 - sigma) ** 2 * deviation**2 + sigma**2
    centred = x - (1 - sigma) * mean
    x_0 = mean + (1 - sigma) * deviation**2 * centred / variance
    eps = sigma * centred / variance
    return eps - x_0


FIELDS = (constant, linear, gaussian)
