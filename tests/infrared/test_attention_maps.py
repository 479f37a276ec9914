from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from refract.infrared.adapter.attention_maps import (
    TokenBox,
    attention_weights,
    draw_overlay,
    region_heat,
    token_box,
)
from refract.infrared.adapter.semantic_attention import (
    POSITIONS,
    Position,
    SemanticConditioningAdapter,
)
from refract.infrared.adapter.semantic_conditioning import DiptychGrid, SemanticConditioning
from refract.models.flux_tokens import panel_grid
from tests.infrared.test_semantic_attention import GRID, MAP_GRID, layer, tokens
from tests.infrared.test_semantic_conditioning import SITES, MapLayout, Site

PANEL = DiptychGrid(4, 4)


@pytest.mark.parametrize("position", POSITIONS)
def test_weights_times_values_are_what_the_layer_attends_to(
    position: Position, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held to scaled_dot_product_attention itself, as the layer calls it in its forward."""
    image, semantic = tokens()
    module = layer(position)
    attend = F.scaled_dot_product_attention
    seen: list[tuple[Tensor, Tensor]] = []

    def spied(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        out = attend(query, key, value, **options)
        seen.append((value, out))
        return out

    monkeypatch.setattr(F, "scaled_dot_product_attention", spied)
    module(image, semantic, GRID, MAP_GRID)
    ((value, attended),) = seen
    weights = attention_weights(module, image, semantic, GRID, MAP_GRID)
    assert weights.shape == (2, 8, len(GRID), len(MAP_GRID))
    assert (weights @ value - attended).abs().max() < 1e-5
    assert torch.allclose(weights.sum(-1), torch.ones(()))


def conditioning(site: Site, layout: MapLayout, layers: int = 2) -> SemanticConditioning:
    torch.manual_seed(0)
    adapter = SemanticConditioningAdapter(64, layers, 8, gate="one")
    return SemanticConditioning(adapter, PANEL, site=site, layout=layout)


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    shapes = [(2, 32, 64), (2, 32, 320), (2, 16, 64)]
    x_t, x_cond, semantic = (torch.randn(shape, generator=source) for shape in shapes)
    return x_t, x_cond, semantic


@pytest.mark.parametrize(("site", "layout"), SITES)
def test_heat_is_a_share_of_the_attention(site: Site, layout: MapLayout) -> None:
    heat = region_heat(conditioning(site, layout), *inputs(), token_box((0, 0, 0.5, 1), 4, 4))
    assert heat.shape == (2, 2, 8, 4, 4)
    assert (heat >= 0).all()
    assert torch.allclose(heat.sum((-2, -1)), torch.ones(()))


@pytest.mark.parametrize(("site", "layout"), SITES)
def test_a_local_layer_looks_at_the_region_itself(site: Site, layout: MapLayout) -> None:
    """Rows and columns of the picture are not mixed up, nor are the two panels."""
    made = conditioning(site, layout, layers=1)
    made.adapter.attentions[0].slope.data.fill_(1e3)
    box = TokenBox(left=1, top=2, right=4, bottom=3)
    heat = region_heat(made, *inputs(), box)
    expected = torch.zeros(4, 4)
    expected[2, 1:4] = 1 / 3
    assert torch.allclose(heat, expected.expand_as(heat), atol=1e-5)


def test_only_the_infrared_half_looks() -> None:
    made = conditioning("x_t", "tile")
    x_t, x_cond, semantic = inputs()
    box = token_box((0.2, 0.2, 0.6, 0.9), 4, 4)
    before = region_heat(made, x_t, x_cond, semantic, box)
    visible = x_t.clone()
    visible[:, ~PANEL.infrared()] += torch.randn(64)
    assert torch.equal(region_heat(made, visible, x_cond, semantic, box), before)
    infrared = x_t.clone()
    infrared[:, PANEL.infrared()] += torch.randn(64)
    assert not torch.allclose(region_heat(made, infrared, x_cond, semantic, box), before)


def test_the_second_layer_is_read_after_the_first() -> None:
    made = conditioning("x_t", "target")
    x_t, x_cond, semantic = inputs()
    box = TokenBox(0, 0, 4, 4)
    second = region_heat(made, x_t, x_cond, semantic, box)[:, 1]
    after_first = x_t.clone()
    found = made.adapter_inputs(x_t, x_cond, semantic)
    after_first[:, PANEL.infrared()] = made.adapter.attentions[0](*found)
    layers = made.adapter.attentions[1]
    found = made.adapter_inputs(after_first, x_cond, semantic)
    weights = attention_weights(layers, *found).mean(2)
    assert torch.allclose(second.flatten(-2), weights, atol=1e-6)


@pytest.mark.parametrize(
    ("region", "box"),
    [
        ((0, 0, 1, 1), (0, 0, 30, 20)),
        ((0.1, 0.5, 0.2, 0.6), (3, 10, 6, 12)),  # 0.1 * 30 and 0.6 * 20 are not exact
        ((0.11, 0.51, 0.12, 0.52), (3, 10, 4, 11)),  # inside one token
        ((0.99, 0.3, 1.0, 0.31), (29, 6, 30, 7)),
    ],
)
def test_a_region_is_widened_to_whole_tokens(
    region: tuple[float, ...], box: tuple[int, ...]
) -> None:
    assert token_box(region, rows=20, columns=30) == box


share = st.floats(0, 1)


@given(share, share, st.integers(1, 64))
def test_a_region_always_has_a_token_inside_the_panel(a: float, b: float, count: int) -> None:
    start, stop = sorted((a, b))
    if start < stop:
        box = token_box((start, 0, stop, 1), count, count)
        assert 0 <= box.left < box.right <= count
        assert box.contains(panel_grid(count, count, 1)).any()


GREEN = np.full((64, 64, 3), (0, 200, 0), np.uint8)
CORNER = TokenBox(left=3, top=3, right=4, bottom=4)


def test_heat_hides_the_map_where_it_is_and_leaves_it_dimmed_elsewhere() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 2], heat[1, 0] = 0.4, 0.2
    picture = draw_overlay(GREEN, heat, CORNER)
    assert picture.shape == GREEN.shape and picture.dtype == np.uint8
    assert (picture[:16, 32:48] == 255).all(), "the hottest token is white whatever its share"
    assert (picture[16:32, :16] == (128, 178, 0)).all(), "half as hot: yellow over half the map"
    assert (picture[32:48, 16:48] == (0, 100, 0)).all()


def test_the_region_is_outlined() -> None:
    picture = draw_overlay(GREEN, np.eye(4, dtype=np.float32), TokenBox(0, 1, 2, 4))
    cyan = (picture == (0, 255, 255)).all(-1)
    rows, columns = np.nonzero(cyan)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 63, 0, 31)
    assert not cyan[20:60, 4:28].any()


def test_without_any_heat_there_is_the_map() -> None:
    picture = draw_overlay(GREEN, np.zeros((4, 4), np.float32), CORNER)
    assert (picture[:48, :48] == (0, 100, 0)).all()
