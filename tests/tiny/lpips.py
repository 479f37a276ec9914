"""The published LPIPS, as `make install` brings it."""

from functools import cache

import torch

from refract.evaluation.measures.perceptual import Lpips, load_lpips
from refract.evaluation.weights.installed_alexnet import installed_alexnet


@cache
def published_lpips() -> Lpips:
    trunk = installed_alexnet()
    assert trunk is not None
    return load_lpips(trunk, torch.device("cpu"))
