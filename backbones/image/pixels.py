"""Image bytes to the pixel range of the autoencoder."""

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor


def to_pixels(images: NDArray[np.uint8]) -> Tensor:
    """uint8 [N, H, W, 3] or [N, H, W] -> float [N, 3, H, W] in [-1, 1]."""
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, -1)
    return rearrange(torch.from_numpy(images).float() / 127.5 - 1, "n h w c -> n c h w")
