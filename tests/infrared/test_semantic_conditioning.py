import pytest
import torch

from refract.infrared.adapter.semantic_attention import SemanticConditioningAdapter
from refract.infrared.adapter.semantic_conditioning import (
    DiptychGrid,
    MapLayout,
    SemanticConditioning,
    Site,
)

GRID = DiptychGrid(2, 2)
SITES = [("x_t", "tile"), ("x_t", "target"), ("x_cond", "tile"), ("x_cond", "target")]


def conditioning(site: Site, layout: MapLayout, gate: str = "one") -> SemanticConditioning:
    torch.manual_seed(0)
    adapter = SemanticConditioningAdapter(64, 1, 8, gate=gate)  # type: ignore[arg-type]
    return SemanticConditioning(adapter, GRID, site=site, layout=layout)


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, 8, 64, generator=generator),
        torch.randn(2, 8, 320, generator=generator),
        torch.randn(2, 4, 64, generator=generator),
    )


@pytest.mark.parametrize(("site", "layout"), SITES)
def test_only_the_tokens_of_the_site_change(site: Site, layout: MapLayout) -> None:
    x_t, x_cond, semantic = inputs()
    new_t, new_cond = conditioning(site, layout)(x_t, x_cond, semantic)
    infrared = GRID.infrared()
    changed_t = (new_t != x_t).any(-1).all(0)
    changed_cond = (new_cond != x_cond).any(-1).all(0)
    if site == "x_t":
        assert torch.equal(new_cond, x_cond)
        expected = torch.ones_like(infrared) if layout == "tile" else infrared
        assert torch.equal(changed_t, expected)
    else:
        assert torch.equal(new_t, x_t)
        assert torch.equal(changed_cond, infrared)
        assert torch.equal(new_cond[..., 64:], x_cond[..., 64:])  # the mask stays


@pytest.mark.parametrize(("site", "layout"), SITES)
def test_zero_gates_leave_every_input_bit_equal(site: Site, layout: MapLayout) -> None:
    x_t, x_cond, semantic = inputs()
    for gate in ("zero_scale", "zero_projection"):
        new_t, new_cond = conditioning(site, layout, gate)(x_t, x_cond, semantic)
        assert torch.equal(new_t, x_t)
        assert torch.equal(new_cond, x_cond)


@pytest.mark.parametrize(("site", "layout"), SITES)
def test_projecting_once_gives_the_same(site: Site, layout: MapLayout) -> None:
    x_t, x_cond, semantic = inputs()
    apply = conditioning(site, layout)
    once = apply(x_t, x_cond, semantic, apply.project(semantic))
    for a, b in zip(once, apply(x_t, x_cond, semantic), strict=True):
        assert torch.equal(a, b)


def test_a_tiled_map_equals_the_single_one_at_the_infrared_half() -> None:
    x_t, x_cond, semantic = inputs()
    tiled = conditioning("x_cond", "tile")(x_t, x_cond, semantic)[1]
    single = conditioning("x_cond", "target")(x_t, x_cond, semantic)[1]
    assert torch.allclose(tiled, single, atol=1e-5)


def test_a_model_may_move_after_it_was_built() -> None:
    """As with offload or FSDP: built on the CPU, then moved to its device."""
    adapter = SemanticConditioningAdapter(position="rope2d")
    moved = SemanticConditioning(adapter, DiptychGrid(2, 3), site="x_t")
    adapter.to("meta")
    projected = moved.project(torch.empty(1, 6, 64, device="meta"))
    assert all(part.is_meta for pair in projected for part in pair)
    assert moved.infrared_inputs.is_meta
