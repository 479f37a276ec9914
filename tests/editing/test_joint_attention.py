import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from refract.editing.reference.joint_attention import (
    _math_attention,
    attention_with_lse,
    joint_attention,
)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tokens(batch: int, heads: int, count: int, dim: int, seed: int) -> tuple[Tensor, ...]:
    return tuple(draw(batch, heads, count, dim, seed=seed + i) for i in range(3))


def masked_softmax(
    q: Tensor, k: Tensor, v: Tensor, k_ref: Tensor, v_ref: Tensor, s: float
) -> Tensor:
    """The definition: softmax over [K; K_ref] with log s on the reference logits, float64."""
    q, k, v, k_ref, v_ref = (x.double() for x in (q, k, v, k_ref, v_ref))
    logits = q @ torch.cat([k, k_ref], 2).mT / math.sqrt(q.shape[-1])
    logits[..., k.shape[2] :] += math.log(s)
    return logits.softmax(-1) @ torch.cat([v, v_ref], 2)


@pytest.mark.parametrize("s", [0.1, 0.5, 1.0, 1.5])
def test_equals_the_masked_softmax(s: float) -> None:
    q, k, v = tokens(2, 3, 37, 16, seed=0)
    _, k_ref, v_ref = tokens(2, 3, 11, 16, seed=9)
    expected = masked_softmax(q, k, v, k_ref, v_ref, s)
    out = joint_attention(q, k, v, k_ref, v_ref, s)
    assert out.dtype == q.dtype
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


def test_strength_one_is_plain_concatenation() -> None:
    q, k, v = tokens(1, 2, 20, 32, seed=1)
    _, k_ref, v_ref = tokens(1, 2, 7, 32, seed=5)
    both = torch.nn.functional.scaled_dot_product_attention(
        q, torch.cat([k, k_ref], 2), torch.cat([v, v_ref], 2)
    )
    torch.testing.assert_close(joint_attention(q, k, v, k_ref, v_ref, 1.0), both, rtol=0, atol=1e-5)


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.floats(0.01, 10))
def test_any_shape_and_strength(batch: int, count: int, references: int, s: float) -> None:
    q, k, v = tokens(batch, 2, count, 8, seed=2)
    _, k_ref, v_ref = tokens(batch, 2, references, 8, seed=6)
    expected = masked_softmax(q, k, v, k_ref, v_ref, s)
    out = joint_attention(q, k, v, k_ref, v_ref, s)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


def test_reference_share_grows_with_strength() -> None:
    q, k, v = tokens(1, 1, 10, 8, seed=3)
    _, k_ref, _ = tokens(1, 1, 4, 8, seed=8)
    ones, zeros = torch.ones(1, 1, 4, 8), torch.zeros_like(v)
    shares = [
        joint_attention(q, k, zeros, k_ref, ones, s).mean().item() for s in (0.1, 0.5, 1.0, 1.5)
    ]
    assert shares == sorted(shares) and shares[0] < shares[-1] < 1


def test_large_logits_do_not_overflow() -> None:
    q, k, v = (50 * x for x in tokens(1, 1, 6, 8, seed=4))
    out = joint_attention(q, k, v, 50 * k, v, 0.5)
    assert out.isfinite().all()


def test_kernel_and_written_out_form_agree() -> None:
    q, k, v = tokens(2, 2, 13, 16, seed=5)
    for fused, written in zip(attention_with_lse(q, k, v), _math_attention(q, k, v), strict=True):
        torch.testing.assert_close(fused, written, rtol=1e-5, atol=1e-5)


def test_has_a_gradient_where_one_is_asked_for() -> None:
    q, k, v = (x.requires_grad_() for x in tokens(1, 1, 5, 8, seed=6))
    joint_attention(q, k, v, k.detach(), v.detach(), 0.5).sum().backward()
    assert q.grad is not None and q.grad.abs().max() > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_kernels_equal_the_masked_softmax(dtype: torch.dtype) -> None:
    q, k, v = (x.to("cuda", dtype) for x in tokens(2, 3, 45, 32, seed=0))
    k_ref, v_ref = (x.to("cuda", dtype) for x in tokens(2, 3, 11, 32, seed=9)[1:])
    expected = masked_softmax(q, k, v, k_ref, v_ref, 0.5)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    out = joint_attention(q, k, v, k_ref, v_ref, 0.5)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=tolerance)
