"""Reference attention as one writes it at first, to compare with: expand and concatenate.

At every call the bank's keys are rotated and expanded to the batch, keys and values are
concatenated with the video's, and the logarithm of the strength is an additive mask of the kernel.
"""

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

# none: for s = 1, which needs no mask. row: (1, 1, 1, keys). full: (1, 1, queries, keys).
Mask = Literal["none", "row", "full"]
MASKS: tuple[Mask, ...] = get_args(Mask)


class ConcatProcessor:
    """Self-attention processor of one layer: `WanAttnProcessor` and the reference."""

    _attention_backend = None
    _parallel_config = None

    def __init__(
        self, key: Tensor, value: Tensor, rotary: tuple[Tensor, Tensor], strength: float, mask: Mask
    ) -> None:
        """
        Args:
            key, value: (tokens, heads, head_dim), the key before its rotary position.
            rotary: its cosine and sine, (1, tokens, 1, head_dim / 2) each.
            strength: above 0; 1 with mask `none`.
        """
        if mask == "none" and strength != 1:
            raise ValueError(f"strength {strength} needs a mask")
        self.key, self.value, self.rotary = key, value, rotary
        self.strength, self.mask = strength, mask

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        assert rotary_emb is not None
        query, key, value = (to(hidden_states) for to in (attn.to_q, attn.to_k, attn.to_v))
        query, key = attn.norm_q(query), attn.norm_k(key)
        query, key, value = (x.unflatten(2, (attn.heads, -1)) for x in (query, key, value))
        cos, sin = rotary_emb[0][..., 0::2], rotary_emb[1][..., 1::2]
        query = rotate_like_diffusers(query, cos, sin)
        key = rotate_like_diffusers(key, cos, sin)

        batch, count = len(query), key.shape[1]
        key_ref = rotate_like_diffusers(self.key[None], *self.rotary)
        key = torch.cat([key, key_ref.expand(batch, -1, -1, -1)], dim=1)
        value = torch.cat([value, self.value[None].expand(batch, -1, -1, -1)], dim=1)
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        bias = self._bias(query, count, key.shape[2])
        out = scaled_dot_product_attention(query, key, value, attn_mask=bias)
        out = out.transpose(1, 2).flatten(2, 3)
        return attn.to_out[1](attn.to_out[0](out))

    def _bias(self, query: Tensor, count: int, keys: int) -> Tensor | None:
        """log s on the columns of the reference; `count` columns of the video before them."""
        if self.mask == "none":
            return None
        rows = query.shape[2] if self.mask == "full" else 1
        bias = query.new_zeros(1, 1, rows, keys)
        bias[..., count:] = math.log(self.strength)
        return bias


def rotate_like_diffusers(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs (2i, 2i+1) of x (batch, tokens, heads, head_dim) as `WanAttnProcessor` does."""
    x1, x2 = x.unflatten(-1, (-1, 2)).unbind(-1)
    out = torch.empty_like(x)
    out[..., 0::2] = x1 * cos - x2 * sin
    out[..., 1::2] = x1 * sin + x2 * cos
    return out
