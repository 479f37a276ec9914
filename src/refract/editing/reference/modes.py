"""The ways in which reference tokens, or their statistics, enter self-attention.

`joint` is the default, see `joint_attention`. The others are kept for comparison:

* `concat_scaled`: attention over [K; s K_ref], [V; s V_ref]. Zero keys still take softmax mass, so
  its limit s = 0 is not plain attention, and callers must not get there.
* `refdrop`: c Attn(Q, K_ref, V_ref) + (1 - c) Attn(Q, K, V) with c the strength; below 0 it drives
  the clip away from the reference (RefDrop, arXiv 2405.17661).
* `adain`: the output of self-attention gets mean and deviation of the reference's, channel by
  channel (Huang and Belongie, arXiv 1703.06868; as in ControlNet's reference-only adain).
* `attn+adain`: joint, then adain.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from refract.editing.reference.joint_attention import (
    Strength,
    attention_with_lse,
    joint_attention,
    merge_attention,
)

# (q, k, v, k_ref, v_ref, strength) -> out; each (batch, heads, tokens, head_dim)
Attend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Strength], Tensor]

_LEAST_DEVIATION = 1e-5


def concat_scaled_attention(
    q: Tensor, k: Tensor, v: Tensor, k_ref: Tensor, v_ref: Tensor, strength: Strength
) -> Tensor:
    """Attention over [K; s K_ref] and [V; s V_ref]; shapes as in `joint_attention`."""
    out, lse = attention_with_lse(q, k, v)
    # s scales the queries in place of the keys: the logits are the same, and s may differ by query
    out_ref, lse_ref = attention_with_lse((q * strength).to(q.dtype), k_ref, v_ref)
    return merge_attention(out, lse, (out_ref * strength).to(out.dtype), lse_ref, 1.0)


def refdrop_attention(
    q: Tensor, k: Tensor, v: Tensor, k_ref: Tensor, v_ref: Tensor, strength: Strength
) -> Tensor:
    """Attn(Q, K, V) led towards Attn(Q, K_ref, V_ref); shapes as in `joint_attention`."""
    out = scaled_dot_product_attention(q, k, v)
    out_ref = scaled_dot_product_attention(q, k_ref, v_ref)
    return (out + strength * (out_ref - out)).to(q.dtype)


def restyle(out: Tensor, mean: Tensor, deviation: Tensor, strength: Strength) -> Tensor:
    """Lead each channel's mean and deviation over the clip's tokens to the reference's.

    Args:
        out: (batch, tokens, channels), the output of a self-attention layer.
        mean, deviation: (channels,) of the reference in the same layer.
        strength: 0 leaves `out`, 1 gives it the reference's statistics; may differ by token.
    """
    x = out.float()
    own_deviation, own_mean = torch.std_mean(x, dim=1, correction=0, keepdim=True)
    normal = (x - own_mean) / own_deviation.clamp_min(_LEAST_DEVIATION)
    styled = normal * deviation.float() + mean.float()
    return (x + strength * (styled - x)).to(out.dtype)


@dataclass(frozen=True)
class Injection:
    """attend: how reference tokens enter, None where they do not. restyles: whether `restyle`
    follows. signed: whether a strength below 0 has a meaning."""

    attend: Attend | None
    restyles: bool = False
    signed: bool = False


INJECTIONS: dict[str, Injection] = {
    "joint": Injection(joint_attention),
    "concat_scaled": Injection(concat_scaled_attention),
    "refdrop": Injection(refdrop_attention, signed=True),
    "adain": Injection(None, restyles=True),
    "attn+adain": Injection(joint_attention, restyles=True),
}
