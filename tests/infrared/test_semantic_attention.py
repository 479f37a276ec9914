import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refract.infrared.adapter.semantic_attention import (
    POSITIONS,
    Gate,
    Position,
    SemanticConditioningAdapter,
    SemanticCrossAttention,
)
from refract.models.flux_tokens import panel_grid

GRID = panel_grid(4, 4, 2)  # 32 image tokens
MAP_GRID = panel_grid(4, 4, 1)  # 16 semantic tokens


def tokens(batch: int = 2, dim: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(batch, len(GRID), dim, generator=generator),
        torch.randn(batch, len(MAP_GRID), dim, generator=generator),
    )


def layer(position: Position = "distance_bias", gate: Gate = "one") -> SemanticCrossAttention:
    torch.manual_seed(1)
    return SemanticCrossAttention(64, 8, position=position, gate=gate)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("gate", ["zero_scale", "zero_projection"])
@pytest.mark.parametrize("layers", [1, 3])
def test_zero_gates_start_as_the_exact_identity(
    position: Position, gate: Gate, layers: int
) -> None:
    image, semantic = tokens()
    adapter = SemanticConditioningAdapter(64, layers, 8, position=position, gate=gate)
    assert torch.equal(adapter(image, semantic, GRID, MAP_GRID), image)


def test_open_gates_start_away_from_the_identity() -> None:
    image, semantic = tokens()
    gates: list[tuple[Gate, float]] = [("small", 1e-6), ("one", 1e-2)]
    for gate, least in gates:
        change = layer(gate=gate)(image, semantic, GRID, MAP_GRID) - image
        assert change.abs().max() > least


def test_only_the_projection_gate_has_a_first_order_gradient() -> None:
    image, semantic = tokens()

    def gradient(gate: Gate) -> float:
        module = layer(gate=gate)
        module(image, semantic, GRID, MAP_GRID).square().mean().backward()
        assert module.to_out.weight.grad is not None
        return module.to_out.weight.grad.abs().max().item()

    assert gradient("zero_scale") == 0
    assert gradient("zero_projection") > 0


def test_parameters_of_the_described_form() -> None:
    described = SemanticConditioningAdapter(64, 1, 8, position="none", gate="zero_scale")
    assert described.num_parameters == 16_897
    biased = SemanticConditioningAdapter(64, 3, 8, position="distance_bias")
    assert biased.num_parameters == 3 * (16_897 + 8)


def test_each_layer_has_a_trainable_scale() -> None:
    adapter = SemanticConditioningAdapter(64, 2, 4, gate="zero_scale")
    assert [isinstance(x.scale, torch.nn.Parameter) for x in adapter.layers] == [True, True]
    assert adapter.scales == [0.0, 0.0]


def test_without_positions_a_shuffled_map_gives_the_same_output() -> None:
    image, semantic = tokens()
    shuffled = semantic[:, torch.randperm(len(MAP_GRID), generator=torch.Generator())]
    unaware, aware = layer("none"), layer("distance_bias")
    same = unaware(image, shuffled, GRID, MAP_GRID) - unaware(image, semantic, GRID, MAP_GRID)
    assert same.abs().max() < 1e-5
    other = aware(image, shuffled, GRID, MAP_GRID) - aware(image, semantic, GRID, MAP_GRID)
    assert other.abs().max() > 1e-2


@pytest.mark.parametrize("position", ["rope2d", "distance_bias"])
@given(offset=st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
@settings(max_examples=10)
def test_only_relative_positions_count(position: Position, offset: tuple[int, int]) -> None:
    image, semantic = tokens(1)
    moved = torch.tensor(offset, dtype=torch.float32)
    module = layer(position)
    here = module(image, semantic, GRID, MAP_GRID)
    there = module(image, semantic, GRID + moved, MAP_GRID + moved)
    assert torch.allclose(here, there, atol=1e-4)


def test_a_steep_slope_reads_the_token_of_the_same_place() -> None:
    image, semantic = tokens(1)
    module = layer("distance_bias")
    module.slope.data.fill_(1e3)
    local = module(image, semantic, GRID, MAP_GRID)
    changed = semantic.clone()
    changed[:, 5] = changed[:, 5].flip(-1)  # row 1, column 1
    touched = (module(image, changed, GRID, MAP_GRID) - local).abs().amax((0, 2)) > 1e-6
    assert GRID[touched].tolist() == [[1, 1], [1, 1]]  # once in each panel


@pytest.mark.parametrize("position", POSITIONS)
def test_projected_keys_and_values_can_be_reused(position: Position) -> None:
    image, semantic = tokens()
    adapter = SemanticConditioningAdapter(64, 2, 8, position=position, gate="one")
    projected = adapter.project(semantic, MAP_GRID)
    assert torch.equal(
        adapter(image, semantic, GRID, MAP_GRID, projected),
        adapter(image, semantic, GRID, MAP_GRID),
    )
    # the tokens themselves are then not read at all
    blank = torch.full_like(semantic, float("nan"))
    assert torch.isfinite(adapter(image, blank, GRID, MAP_GRID, projected)).all()


@pytest.mark.parametrize("position", POSITIONS)
def test_items_of_a_batch_do_not_see_each_other(position: Position) -> None:
    image, semantic = tokens(3)
    module = layer(position)
    whole = module(image, semantic, GRID, MAP_GRID)
    other = semantic.clone()
    other[0] = 0
    assert torch.equal(module(image, other, GRID, MAP_GRID)[1:], whole[1:])
    assert not torch.equal(module(image, other, GRID, MAP_GRID)[0], whole[0])


def test_the_attention_is_softmax_of_biased_logits() -> None:
    image, semantic = tokens(1)
    module = layer("distance_bias")
    key, value = module.project(semantic, MAP_GRID)
    query = module.to_q(module.image_norm(image)).unflatten(-1, (8, 8)).transpose(1, 2)
    squared = torch.cdist(GRID, MAP_GRID).square()
    logits = query @ key.transpose(-1, -2) / 8**0.5 - module.slope[:, None, None] * squared
    attended = (logits.softmax(-1) @ value).transpose(1, 2).flatten(2)
    expected = image + module.to_out(attended)
    assert torch.allclose(module(image, semantic, GRID, MAP_GRID), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 7}, "must divide"),
        ({"num_heads": 32, "position": "rope2d"}, "divisible by 4"),
        ({"position": "polar"}, "polar"),
        ({"gate": "ajar"}, "ajar"),
    ],
)
def test_impossible_settings_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SemanticCrossAttention(64, **arguments)


def test_an_adapter_has_a_layer_at_least() -> None:
    with pytest.raises(ValueError, match="num_layers = 0"):
        SemanticConditioningAdapter(64, 0, 8)
