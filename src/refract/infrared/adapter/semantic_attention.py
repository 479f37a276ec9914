"""Cross-attention from image tokens to the tokens of a semantic map.

Three choices decide whether it can learn, so each is an option:

* `position`. Attention without positions cannot tell where a semantic token lies: any shuffle of
  the tokens gives the same output. `rope2d` rotates Q and K by their coordinates (and needs
  learned Q/K biases: after LayerNorm there is little constant component for the rotation to act
  on); `distance_bias` subtracts slope_h * squared distance from the logits of head h.
* `gate`. `zero_scale` starts at a near-stationary point (a zero scalar in front of a random
  projection); `zero_projection` is the same exact identity at the start, with a useful gradient.
* where the result is added (see `semantic_conditioning`).
"""

import math
from typing import NamedTuple, cast, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from refract.infrared.adapter.distance_attention import distance_attention
from refract.params.ir_adapter import Gate, Position

POSITIONS: tuple[str, ...] = get_args(Position)
GATES: tuple[str, ...] = get_args(Gate)
_SCALE_AT_START = {"zero_scale": 0.0, "zero_projection": 1.0, "small": 1e-3, "one": 1.0}
_FASTEST_ROTATION = math.pi / 4  # radians a token: eight tokens a turn


class KeyValue(NamedTuple):
    """Projected semantic tokens, each [B, heads, M, head_dim]; constant over sampling steps."""

    key: Tensor
    value: Tensor


class SemanticCrossAttention(nn.Module):
    """image_tokens + scale * projection(attention(image_tokens -> semantic_tokens)).

    dim: channels of both token kinds. num_heads: must divide dim; with `rope2d`, dim / num_heads
    must be a multiple of 4. Coordinates are (row, column) in tokens, relative to the panel.
    """

    def __init__(
        self,
        dim: int = 64,
        num_heads: int = 8,
        position: Position = "distance_bias",
        gate: Gate = "zero_projection",
    ) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ValueError(f"num_heads = {num_heads} must divide dim = {dim}")
        if position not in POSITIONS:
            raise ValueError(f"position = {position!r}: allowed {', '.join(POSITIONS)}")
        if gate not in GATES:
            raise ValueError(f"gate = {gate!r}: allowed {', '.join(GATES)}")
        if position == "rope2d" and (dim // num_heads) % 4:
            raise ValueError(f"rope2d needs dim / num_heads divisible by 4, got {dim}/{num_heads}")
        self.num_heads = num_heads
        self.position = position
        self.gate = gate
        self.image_norm = nn.LayerNorm(dim)
        self.semantic_norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.to_out = nn.Linear(dim, dim)
        self.scale = nn.Parameter(torch.tensor(_SCALE_AT_START[gate]))
        if position == "distance_bias":  # from broad (0.14) to nearly one token (7.4)
            self.slope = nn.Parameter(torch.linspace(-2, 2, num_heads).exp())
        self._initialise()

    def _initialise(self) -> None:
        for layer in (self.to_q, self.to_k, self.to_v, self.to_out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        if self.position == "rope2d":  # equal biases: attention starts with its peak at distance 0
            nn.init.normal_(self.to_q.bias, std=1.0)
            self.to_k.bias.data.copy_(self.to_q.bias.data)
        if self.gate == "zero_projection":
            nn.init.zeros_(self.to_out.weight)

    def project(self, semantic_tokens: Tensor, semantic_grid: Tensor) -> KeyValue:
        """K and V of the semantic tokens [B, M, dim] at coordinates [M, 2]."""
        normed = self.semantic_norm(semantic_tokens)
        key = rearrange(self.to_k(normed), "b m (h d) -> b h m d", h=self.num_heads)
        value = rearrange(self.to_v(normed), "b m (h d) -> b h m d", h=self.num_heads)
        if self.position == "rope2d":
            key = _rotate(key, semantic_grid)
        return KeyValue(key, value)

    def query(self, image_tokens: Tensor, image_grid: Tensor) -> Tensor:
        """Q [B, heads, N, head_dim] of the image tokens [B, N, dim] at coordinates [N, 2]."""
        query = rearrange(
            self.to_q(self.image_norm(image_tokens)), "b n (h d) -> b h n d", h=self.num_heads
        )
        return _rotate(query, image_grid) if self.position == "rope2d" else query

    def forward(
        self,
        image_tokens: Tensor,
        semantic_tokens: Tensor,
        image_grid: Tensor,
        semantic_grid: Tensor,
        projected: KeyValue | None = None,
    ) -> Tensor:
        """image_tokens [B, N, dim], semantic_tokens [B, M, dim], grids [N, 2] and [M, 2].

        `projected` is an earlier `project(semantic_tokens, semantic_grid)`, used instead of
        computing it again. Returns [B, N, dim].
        """
        if projected is None:
            projected = self.project(semantic_tokens, semantic_grid)
        key, value = projected
        query = self.query(image_tokens, image_grid)
        if self.position == "distance_bias":
            attended = distance_attention(
                query, key, value, image_grid, semantic_grid, self.positive_slope
            )
        else:
            attended = F.scaled_dot_product_attention(query, key, value)
        return image_tokens + self.scale * self.to_out(rearrange(attended, "b h n d -> b n (h d)"))

    @property
    def positive_slope(self) -> Tensor:
        """What a head's logit falls by for each squared token of distance, [heads]."""
        return self.slope.clamp_min(0)  # a negative slope would attract to the far corners


class SemanticConditioningAdapter(nn.Module):
    """`num_layers` SemanticCrossAttention layers in a row, all reading the same semantic tokens."""

    def __init__(
        self,
        dim: int = 64,
        num_layers: int = 1,
        num_heads: int = 8,
        position: Position = "distance_bias",
        gate: Gate = "zero_projection",
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers = {num_layers}: must be >= 1")
        self.layers = nn.ModuleList(
            SemanticCrossAttention(dim, num_heads, position=position, gate=gate)
            for _ in range(num_layers)
        )

    @property
    def attentions(self) -> list[SemanticCrossAttention]:
        """The layers, first to last, by their type."""
        return cast(list[SemanticCrossAttention], list(self.layers))

    @property
    def scales(self) -> list[float]:
        """The gate scale of every layer."""
        return [float(layer.scale.detach()) for layer in self.attentions]

    @property
    def num_parameters(self) -> int:
        """Number of trainable values, counted on the modules."""
        return sum(parameter.numel() for parameter in self.parameters())

    def project(self, semantic_tokens: Tensor, semantic_grid: Tensor) -> list[KeyValue]:
        """K and V of every layer, to be reused over sampling steps."""
        return [layer.project(semantic_tokens, semantic_grid) for layer in self.attentions]

    def forward(
        self,
        image_tokens: Tensor,
        semantic_tokens: Tensor,
        image_grid: Tensor,
        semantic_grid: Tensor,
        projected: list[KeyValue] | None = None,
    ) -> Tensor:
        """Shapes as in `SemanticCrossAttention.forward`; `projected` comes from `project`."""
        for index, layer in enumerate(self.attentions):
            image_tokens = layer(
                image_tokens,
                semantic_tokens,
                image_grid,
                semantic_grid,
                None if projected is None else projected[index],
            )
        return image_tokens


def _rotate(heads: Tensor, grid: Tensor) -> Tensor:
    """Rotary embedding of [B, heads, N, D] by (row, column) [N, 2]; D/4 frequencies an axis."""
    frequencies = heads.shape[-1] // 4
    rates = _FASTEST_ROTATION * 0.5 ** torch.arange(frequencies, device=heads.device)
    angle = rearrange(grid[..., None] * rates, "n axis f -> n (axis f)").to(heads.dtype)
    even, odd = heads[..., 0::2], heads[..., 1::2]
    cos, sin = angle.cos(), angle.sin()
    rotated = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1)
    return rearrange(rotated, "... f pair -> ... (f pair)")
