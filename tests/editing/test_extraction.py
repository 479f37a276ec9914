from typing import Any

import pytest
import torch

from refract.editing.reference.attention import reference_attention
from refract.editing.reference.extraction import extract_bank, recording
from tests.tiny.wan import HEAD_DIM, HEADS, LAYERS, run, tiny_inputs, tiny_transformer

ROWS, COLUMNS = 2, 3


@pytest.fixture(scope="module")
def image() -> dict[str, torch.Tensor]:
    """A clip of one frame of 2 x 3 tokens."""
    return tiny_inputs(frames=1, height=2 * ROWS, width=2 * COLUMNS)


def extract(
    transformer: Any, image: dict[str, torch.Tensor], keep: torch.Tensor, **options: Any
) -> Any:
    settings: dict[str, Any] = {"sigmas": [0.3], "generator": torch.Generator().manual_seed(0)}
    settings |= options
    return extract_bank(
        transformer, image["hidden_states"], image["encoder_hidden_states"],
        settings.pop("sigmas"), keep, **settings,
    )  # fmt: skip


EVERYTHING = torch.ones(ROWS, COLUMNS, dtype=torch.bool)


def test_records_keys_after_the_norm_and_before_rotation(image: dict[str, torch.Tensor]) -> None:
    transformer = tiny_transformer()
    attn = transformer.blocks[0].attn1
    seen: dict[str, torch.Tensor] = {}
    attn.to_k.register_forward_hook(lambda _m, _i, out: seen.update(raw=out))
    with recording(transformer) as recorded:
        run(transformer, image)
    expected = attn.norm_k(seen["raw"]).unflatten(-1, (HEADS, HEAD_DIM))
    assert torch.equal(recorded[0]["key"], expected)
    assert not torch.equal(recorded[0]["key"], seen["raw"].unflatten(-1, (HEADS, HEAD_DIM)))
    assert len(recorded) == LAYERS


def test_fused_projections_record_the_same(image: dict[str, torch.Tensor]) -> None:
    transformer = tiny_transformer()
    with recording(transformer) as apart:
        run(transformer, image)
    for block in transformer.blocks:
        block.attn1.fuse_projections()
    with recording(transformer) as fused:
        run(transformer, image)
    for layer, pair in apart.items():
        for kind, tensor in pair.items():
            torch.testing.assert_close(fused[layer][kind], tensor, rtol=0, atol=1e-5)


def test_hooks_are_gone_afterwards(image: dict[str, torch.Tensor]) -> None:
    transformer = tiny_transformer()
    with pytest.raises(KeyError), recording(transformer):
        raise KeyError
    assert not any(module._forward_hooks for module in transformer.modules())


def test_recording_the_clip_itself_and_reading_it_back_changes_nothing(
    image: dict[str, torch.Tensor],
) -> None:
    """With its own tokens at its own position as reference, softmax mass splits evenly."""
    transformer = tiny_transformer()
    stock = run(transformer, image)
    bank = extract_bank(
        transformer, image["hidden_states"], image["encoder_hidden_states"], [0.0], EVERYTHING
    )
    x = {**image, "timestep": torch.zeros(1)}
    stock = run(transformer, x)
    with reference_attention(transformer, bank, rope="frame0"):
        torch.testing.assert_close(run(transformer, x), stock, rtol=0, atol=1e-5)


def test_averages_over_noise_levels(image: dict[str, torch.Tensor]) -> None:
    transformer = tiny_transformer()
    both = extract(transformer, image, EVERYTHING, sigmas=[0.2, 0.7])
    generator = torch.Generator().manual_seed(0)  # the single runs draw on from one generator
    singles = [
        extract(transformer, image, EVERYTHING, sigmas=[sigma], generator=generator)
        for sigma in (0.2, 0.7)
    ]
    mean = (singles[0].layers[2]["key"] + singles[1].layers[2]["key"]) / 2
    torch.testing.assert_close(both.layers[2]["key"], mean, rtol=0, atol=1e-6)
    assert both.facts["sigmas"] == [0.2, 0.7]


def test_only_kept_tokens_enter_with_their_positions(image: dict[str, torch.Tensor]) -> None:
    transformer = tiny_transformer()
    keep = torch.tensor([[False, True, False], [True, False, True]])
    some, everything = (extract(transformer, image, mask) for mask in (keep, EVERYTHING))
    assert some.positions.tolist() == [[0, 1], [1, 0], [1, 2]]
    for layer, pair in some.layers.items():
        for kind, tensor in pair.items():
            assert torch.equal(tensor, everything.layers[layer][kind][keep.flatten()])


def test_pooling_averages_product_tokens_of_a_window(image: dict[str, torch.Tensor]) -> None:
    transformer = tiny_transformer()
    keep = torch.tensor([[True, True, False], [True, False, False]])
    pooled, single = (extract(transformer, image, keep, pool=pool) for pool in (2, 1))
    assert pooled.tokens == 1
    torch.testing.assert_close(pooled.positions, torch.tensor([[1 / 3, 1 / 3]]))
    for kind in ("key", "value"):
        mean = single.layers[1][kind].mean(0, keepdim=True)
        torch.testing.assert_close(pooled.layers[1][kind], mean, rtol=0, atol=1e-6)


def test_a_pooled_bank_of_everything_has_fewer_tokens(image: dict[str, torch.Tensor]) -> None:
    pooled = extract(tiny_transformer(), image, EVERYTHING, pool=2)
    assert pooled.positions.tolist() == [[0.5, 0.5], [0.5, 2.0]]


def test_same_seed_same_bank(image: dict[str, torch.Tensor]) -> None:
    first, second = (extract(tiny_transformer(), image, EVERYTHING) for _ in range(2))
    assert torch.equal(first.layers[3]["value"], second.layers[3]["value"])


def test_an_empty_mask_is_refused(image: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="no token"):
        extract(tiny_transformer(), image, ~EVERYTHING)
