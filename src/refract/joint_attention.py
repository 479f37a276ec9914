"""One softmax over video and reference tokens, the reference's share scaled by a strength.

With s the strength, o, o_ref the two attention outputs and lse, lse_ref the log-sum-exps of
their logits,

    out = (e^lse o + s e^lse_ref o_ref) / (e^lse + s e^lse_ref)
        = o + w (o_ref - o),    w = sigmoid(lse_ref + log s - lse),

which is the softmax over [K; K_ref] with log s added to the reference logits. Two kernel calls
need neither a concatenation nor a mask the size of the attention matrix; merged and masked
softmax agree to 1e-6 in float32.
"""

import math

import torch
from torch import Tensor


def _math_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    logits = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2)).float()
    lse = torch.logsumexp(logits, dim=-1)
    return torch.matmul((logits - lse[..., None]).exp().to(v.dtype), v), lse


def attention_with_lse(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax attention and the log-sum-exp of its scaled logits.

    Args:
        q: (batch, heads, queries, head_dim).
        k, v: (batch, heads, keys, head_dim), at least one key.
    Returns:
        The output, shaped and typed like q, and the log-sum-exp (batch, heads, queries), at
        least float32.

    The fused kernels are asked for directly because `scaled_dot_product_attention` does not
    hand out their log-sum-exp. They have no gradient through it, so a call that needs one, and
    a device without such a kernel, takes the written-out form.
    """
    needs_grad = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    if q.device.type == "cpu" and not needs_grad:
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
        return out, lse
    if q.device.type == "cuda" and not needs_grad:
        if q.dtype in (torch.float16, torch.bfloat16) and q.shape[-1] % 8 == 0:
            out, lse = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[:2]
        else:
            kernel = torch.ops.aten._scaled_dot_product_efficient_attention
            out, lse = kernel(q, k, v, attn_bias=None, compute_log_sumexp=True)[:2]
        return out, lse[..., : q.shape[2]]  # the kernel pads the query axis
    return _math_attention(q, k, v)


def joint_attention(
    q: Tensor, k: Tensor, v: Tensor, k_ref: Tensor, v_ref: Tensor, strength: float
) -> Tensor:
    """Attention over [K; K_ref] with the reference's softmax share scaled by `strength`.

    Args:
        q, k, v: (batch, heads, tokens, head_dim) of the video.
        k_ref, v_ref: (batch, heads, reference tokens, head_dim).
        strength: s > 0; 1 is plain concatenation, above 1 amplifies. The limit 0 is plain
            attention and must be taken as such by the caller: another kernel is not bit-equal.
    """
    out, lse = attention_with_lse(q, k, v)
    out_ref, lse_ref = attention_with_lse(q, k_ref, v_ref)
    share = torch.sigmoid(lse_ref + math.log(strength) - lse)[..., None]  # (b, h, q, 1)
    return torch.lerp(out.to(share.dtype), out_ref.to(share.dtype), share).to(q.dtype)
