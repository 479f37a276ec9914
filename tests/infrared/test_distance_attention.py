import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from refract.infrared.adapter.distance_attention import distance_attention, distance_bias
from refract.models.flux_tokens import panel_grid

SLOPES = torch.linspace(-2, 2, 4).exp()


def draw(queries: int, keys: int, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(queries * 100 + channels)
    shapes = [(2, 4, count, channels) for count in (queries, keys, keys)]
    query, key, value = (torch.randn(shape, generator=generator) for shape in shapes)
    return query, key, value


def written_out(
    query: Tensor, key: Tensor, value: Tensor, query_grid: Tensor, key_grid: Tensor, slope: Tensor
) -> Tensor:
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    squared = torch.cdist(query_grid, key_grid).square()
    return (logits - slope[:, None, None] * squared).softmax(-1) @ value


def exact(q: Tensor, k: Tensor, v: Tensor, query_grid: Tensor, key_grid: Tensor) -> Tensor:
    """In float64, with SLOPES."""
    query_grid, key_grid = query_grid.double(), key_grid.double()
    return written_out(q.double(), k.double(), v.double(), query_grid, key_grid, SLOPES)


@given(rows=st.integers(1, 5), columns=st.integers(1, 5), channels=st.sampled_from([1, 4, 8, 32]))
def test_it_is_the_softmax_of_biased_logits(rows: int, columns: int, channels: int) -> None:
    grids = panel_grid(rows, columns, 2), panel_grid(rows, columns, 1)
    q, k, v = draw(len(grids[0]), len(grids[1]), channels)
    expected = exact(q, k, v, *grids)
    ours = distance_attention(q, k, v, *grids, SLOPES)
    assert ours.shape == q.shape
    assert torch.allclose(ours.double(), expected, atol=2e-5)


def test_the_full_profile_s_grid_within_its_stated_error() -> None:
    grid = panel_grid(32, 32, 1)
    q, k, v = draw(1024, 1024, 8)
    expected = exact(q, k, v, grid, grid)
    assert (distance_attention(q, k, v, grid, grid, SLOPES) - expected).abs().max() < 1e-3


def test_gradients_equal_those_of_the_written_out_form() -> None:
    grid = panel_grid(4, 4, 2)
    inputs = [*draw(32, 32, 8), SLOPES.clone()]
    results = []
    for function in (distance_attention, written_out):
        q, k, v, slope = leaves = [x.clone().requires_grad_() for x in inputs]
        function(q, k, v, grid, grid, slope).square().sum().backward()
        results.append([leaf.grad for leaf in leaves])
    for ours, expected in zip(*results, strict=True):
        assert torch.allclose(ours, expected, rtol=1e-3, atol=1e-4)


def test_a_fused_kernel_takes_it_with_a_learnt_slope() -> None:
    """The kernel with written-out weights is shut off: torch would raise where it needed that."""
    grid = panel_grid(4, 4, 1)
    slope = SLOPES.clone().requires_grad_()
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]):
        distance_attention(*draw(16, 16, 8), grid, grid, slope).sum().backward()
    assert slope.grad is not None
    assert slope.grad.isfinite().all()


def test_autocast_does_not_lower_its_precision() -> None:
    grid = panel_grid(4, 4, 1)
    q, k, v = (x.bfloat16() for x in draw(16, 16, 8))
    expected = distance_attention(q, k, v, grid, grid, SLOPES)
    assert expected.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(distance_attention(q, k, v, grid, grid, SLOPES), expected)


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_the_bias_written_out(slope: float) -> None:
    bias = distance_bias(panel_grid(2, 2, 1), panel_grid(2, 2, 1), torch.tensor([slope]))
    assert bias[0, 0].tolist() == [0, -slope, -slope, -2 * slope]
