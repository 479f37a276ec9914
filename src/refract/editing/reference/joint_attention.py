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

# A number, or one value a query, (queries, 1)
Strength = float | Tensor

# Parts of the queries that see the reference one after another
_PARTS = 4


def _needs_grad(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def _math_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    logits = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2)).float()
    lse = torch.logsumexp(logits, dim=-1)
    return torch.matmul((logits - lse[..., None]).exp().to(v.dtype), v), lse


def attention_with_lse(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax attention and the log-sum-exp of its scaled logits.

    Args:
        q: (batch, heads, queries, head_dim).
        k, v: (batch, heads, keys, head_dim), at least one key. Fastest where each head is dense.
    Returns:
        The output, shaped and typed like q, and the log-sum-exp (batch, heads, queries), at
        least float32.

    The fused kernels are asked for directly because `scaled_dot_product_attention` does not
    hand out their log-sum-exp. They have no gradient through it, so a call that needs one, and
    a device without such a kernel, takes the written-out form.
    """
    needs_grad = _needs_grad(q, k, v)
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
    q: Tensor, k: Tensor, v: Tensor, k_ref: Tensor, v_ref: Tensor, strength: Strength
) -> Tensor:
    """Attention over [K; K_ref] with the reference's softmax share scaled by `strength`.

    Args:
        q, k, v: (batch, heads, tokens, head_dim) of the video.
        k_ref, v_ref: (batch, heads, reference tokens, head_dim).
        strength: s > 0; 1 is plain concatenation, above 1 amplifies. The limit 0 is plain
            attention and must be taken as such by the caller: another kernel is not bit-equal.
    Returns:
        The output, shaped and typed like q. Where no gradient is asked for, it is merged in place
        and part by part, so that the reference's output never exists as a whole.
    """
    out, lse = attention_with_lse(q, k, v)
    if _needs_grad(q, k, v, k_ref, v_ref):
        return merge_attention(out, lse, *attention_with_lse(q, k_ref, v_ref), strength)
    size = -(-q.shape[2] // _PARTS)
    for start in range(0, q.shape[2], size):
        part = slice(start, start + size)
        out_ref, lse_ref = attention_with_lse(q[:, :, part], k_ref, v_ref)
        weight = strength[part] if isinstance(strength, Tensor) else strength
        out[:, :, part].lerp_(out_ref, _share(lse[..., part], lse_ref, weight).to(out.dtype))
    return out


def merge_attention(
    out: Tensor, lse: Tensor, out_ref: Tensor, lse_ref: Tensor, strength: Strength
) -> Tensor:
    """One softmax out of two, the second's weights times `strength`; see the module.

    out, out_ref: (batch, heads, queries, head_dim). lse, lse_ref: (batch, heads, queries).
    """
    return torch.lerp(out, out_ref, _share(lse, lse_ref, strength).to(out.dtype))


def _share(lse: Tensor, lse_ref: Tensor, strength: Strength) -> Tensor:
    """w of the module's formula, (batch, heads, queries, 1), at least float32.

    Those who lead `out` by it round it to its type, as the kernels round their softmax weights;
    nothing larger than the share needs float32 then.
    """
    # (queries,) where the strength is a tensor; -inf where it is 0
    bias = strength.log()[:, 0] if isinstance(strength, Tensor) else math.log(strength)
    return torch.sigmoid(lse_ref + bias - lse)[..., None]
