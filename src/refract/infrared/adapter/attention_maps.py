"""Where in the semantic map a region of the infrared picture looks, as numbers and as overlays.

The model never forms its attention weights (`scaled_dot_product_attention`). They are formed here,
for pictures only, from the layer's own Q, K and distance bias, for the tokens asked for and in
float32.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from einops import reduce
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from refract.infrared.adapter.distance_attention import distance_bias
from refract.infrared.adapter.semantic_attention import SemanticCrossAttention
from refract.infrared.adapter.semantic_conditioning import SemanticConditioning

Region = tuple[float, ...]  # (x0, y0, x1, y1) in shares of the panel, 0 to 1

_ROUNDING = 1e-6  # tokens: 0.1 * 30 is not to count as beyond 3


class TokenBox(NamedTuple):
    """A rectangle of tokens of a panel; right and bottom are excluded."""

    left: int
    top: int
    right: int
    bottom: int

    def contains(self, grid: Tensor) -> Tensor:
        """Boolean [N]: which (row, column) coordinates [N, 2] lie inside."""
        row, column = grid.unbind(-1)
        across = (column >= self.left) & (column < self.right)
        return across & (row >= self.top) & (row < self.bottom)


def token_box(region: Region, rows: int, columns: int) -> TokenBox:
    """The tokens that a region touches: it is widened to whole ones, so there is one at least."""
    x0, y0, x1, y1 = region
    left, right = _touched(x0, x1, columns)
    top, bottom = _touched(y0, y1, rows)
    return TokenBox(left, top, right, bottom)


def _touched(start: float, stop: float, count: int) -> tuple[int, int]:
    first = min(math.floor(start * count + _ROUNDING), count - 1)
    return first, max(math.ceil(stop * count - _ROUNDING), first + 1)


def attention_weights(
    layer: SemanticCrossAttention,
    image_tokens: Tensor,
    semantic_tokens: Tensor,
    image_grid: Tensor,
    semantic_grid: Tensor,
) -> Tensor:
    """softmax(Q K^T / sqrt(head_dim) + distance bias), [B, heads, N, M]; shapes as in the layer's
    forward. A row sums to 1; times V it is what the layer attends to.
    """
    query = layer.query(image_tokens, image_grid)
    key = layer.project(semantic_tokens, semantic_grid).key
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if layer.position == "distance_bias":
        logits = logits + distance_bias(image_grid, semantic_grid, layer.positive_slope)
    return logits.softmax(-1)


@torch.no_grad()
def region_heat(
    conditioning: SemanticConditioning, x_t: Tensor, x_cond: Tensor, semantic: Tensor, box: TokenBox
) -> Tensor:
    """Mean attention of a region's tokens over the map, [B, layers, heads, rows, columns].

    x_t [B, 2n, 64], x_cond [B, 2n, 320], semantic [B, n, 64]. Each map sums to 1; where the layout
    shows the adapter the map twice, both copies of a place are added.
    """
    inputs = conditioning.adapter_inputs(x_t, x_cond, semantic)
    chosen = box.contains(inputs.image_grid) & conditioning.infrared_inputs
    tokens, heats = inputs.image, []
    for layer in conditioning.adapter.attentions:
        weights = attention_weights(
            layer,
            tokens[:, chosen],
            inputs.semantic,
            inputs.image_grid[chosen],
            inputs.semantic_grid,
        )
        heats.append(weights.mean(2))
        tokens = layer(tokens, *inputs[1:])
    rows, columns = conditioning.grid.rows, conditioning.grid.columns
    return reduce(
        torch.stack(heats, 1), "b l a (h copies w) -> b l a h w", "sum", h=rows, w=columns
    )


_DIMMED = 0.5  # of the map's brightness, so that heat stands out and classes stay recognisable
_OUTLINE = (0, 255, 255)  # cyan: no heat has it


def draw_overlay(
    semantic: NDArray[np.uint8], heat: NDArray[np.floating], box: TokenBox
) -> NDArray[np.uint8]:
    """[P, P, 3] from a map of that shape and the heat of its tokens [rows, columns], none negative.

    Heat is relative to its own maximum: nothing (the dimmed map), red, yellow, white. Each token
    is one square, without smoothing, since the attention knows nothing finer.
    """
    side = semantic.shape[0] // heat.shape[0]
    hottest = float(heat.max())
    relative = heat / hottest if hottest > 0 else heat
    strength = np.kron(relative, np.ones((side, side)))[..., None]
    glow = 255 * np.concatenate(
        [np.ones_like(strength), (2 * strength).clip(0, 1), (2 * strength - 1).clip(0, 1)], -1
    )
    mixed = (1 - strength) * _DIMMED * semantic + strength * glow
    picture = Image.fromarray(np.rint(mixed).astype(np.uint8))
    left, top, right, bottom = (side * edge for edge in box)
    ImageDraw.Draw(picture).rectangle(
        (left, top, right - 1, bottom - 1), outline=_OUTLINE, width=max(1, side // 8)
    )
    return np.asarray(picture)
