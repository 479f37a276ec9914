"""The ways of injecting a reference, on bare tensors and in a tiny Wan transformer."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from refract.base.errors import InputError
from refract.editing.reference.attention import reference_attention
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.frame_schedule import frame_factors
from refract.editing.reference.joint_attention import joint_attention
from refract.editing.reference.modes import concat_scaled_attention, refdrop_attention, restyle
from tests.tiny.wan import HEAD_DIM, HEADS, LAYERS, run, tiny_inputs, tiny_transformer

TOKENS, DIM = 5, HEADS * HEAD_DIM
MODES = ("joint", "concat_scaled", "refdrop", "adain", "attn+adain")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tokens(seed: int = 0) -> tuple[Tensor, ...]:
    """q, k, v of 13 tokens and k_ref, v_ref of 6; batch 2, 3 heads of 8."""
    video = (draw(2, 3, 13, 8, seed=seed + i) for i in range(3))
    return (*video, *(draw(2, 3, 6, 8, seed=seed + 10 + i) for i in range(2)))


@pytest.fixture
def transformer() -> Any:
    return tiny_transformer()


@pytest.fixture
def bank() -> ReferenceBank:
    layers, statistics = {}, {}
    for layer in range(LAYERS):
        pair = (draw(TOKENS, HEADS, HEAD_DIM, seed=20 + 2 * layer + i) for i in range(2))
        layers[layer] = dict(zip(("key", "value"), pair, strict=True))
        mean, deviation = draw(DIM, seed=40 + layer), draw(DIM, seed=60 + layer).abs()
        statistics[layer] = {"mean": mean, "deviation": deviation}
    positions = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 2], [2, 1]]).float()
    return ReferenceBank(layers, positions, {"depth": LAYERS}, statistics)


@pytest.mark.parametrize("s", [0.0, 0.3, 1.0, 1.5])
def test_concat_scaled_is_attention_over_scaled_keys_and_values(s: float) -> None:
    q, k, v, k_ref, v_ref = tokens()
    expected = scaled_dot_product_attention(
        q.double(), torch.cat([k, s * k_ref], 2).double(), torch.cat([v, s * v_ref], 2).double()
    )
    out = concat_scaled_attention(q, k, v, k_ref, v_ref, s)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


def test_concat_scaled_at_zero_is_not_plain_attention() -> None:
    """Zero keys have the logit 0 and take their part of the softmax."""
    q, k, v, k_ref, v_ref = tokens()
    out = concat_scaled_attention(q, k, v, k_ref, v_ref, 0.0)
    assert (out - scaled_dot_product_attention(q, k, v)).abs().max() > 0.05


@pytest.mark.parametrize("c", [-0.3, 0.2, 1.0])
def test_refdrop_mixes_two_attentions(c: float) -> None:
    q, k, v, k_ref, v_ref = tokens()
    plain = scaled_dot_product_attention(q, k, v)
    expected = c * scaled_dot_product_attention(q, k_ref, v_ref) + (1 - c) * plain
    out = refdrop_attention(q, k, v, k_ref, v_ref, c)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)


def test_restyle_gives_the_reference_its_statistics() -> None:
    out, mean, deviation = draw(2, 40, 6), draw(6, seed=1), draw(6, seed=2).abs() + 0.1
    styled = restyle(out, mean, deviation, 1.0)
    torch.testing.assert_close(styled.mean(1), mean.expand(2, -1), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        styled.std(1, correction=0), deviation.expand(2, -1), rtol=0, atol=1e-5
    )
    half = restyle(out, mean, deviation, 0.5)
    torch.testing.assert_close(half, (out + styled) / 2, rtol=0, atol=1e-6)
    assert torch.equal(restyle(out, mean, deviation, 0.0), out)
    assert restyle(torch.ones(1, 3, 6), mean, deviation, 1.0).isfinite().all(), "no deviation"


@pytest.mark.parametrize("attend", [joint_attention, concat_scaled_attention, refdrop_attention])
def test_a_strength_by_token_is_that_strength_in_each(attend: Any) -> None:
    inputs = tokens()
    strengths = torch.linspace(0.1, 2.0, 13)
    out = attend(*inputs, strengths[:, None])
    for token, s in enumerate(strengths.tolist()):
        expected = attend(*inputs, s)[:, :, token]
        torch.testing.assert_close(out[:, :, token], expected, rtol=0, atol=2e-6)


def test_joint_at_strength_zero_in_some_tokens_is_plain_there() -> None:
    q, k, v, k_ref, v_ref = tokens()
    strengths = torch.tensor([0.0] * 6 + [1.0] * 7)[:, None]
    out = joint_attention(q, k, v, k_ref, v_ref, strengths)
    plain = scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(out[:, :, :6], plain[:, :, :6], rtol=0, atol=1e-6)
    assert (out - plain)[:, :, 6:].abs().max() > 0.01


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_in_a_model(transformer: Any, bank: ReferenceBank, mode: str) -> None:
    inputs = tiny_inputs(batch=2, frames=3)
    stock = run(transformer, inputs)
    with reference_attention(transformer, bank, strength=0.6, mode=mode):
        out = run(transformer, inputs)
    assert out.isfinite().all() and (out - stock).abs().max() > 1e-3
    with reference_attention(transformer, bank, strength=0.0, mode=mode) as active:
        assert not active.present
        assert torch.equal(run(transformer, inputs), stock)
    assert torch.equal(run(transformer, inputs), stock)


def test_adain_sets_the_statistics_of_the_layer(transformer: Any, bank: ReferenceBank) -> None:
    seen: list[Tensor] = []
    transformer.blocks[2].attn1.register_forward_hook(lambda _m, _i, out: seen.append(out))
    with reference_attention(transformer, bank, mode="adain", layers=[2]):
        run(transformer, tiny_inputs(frames=3))
    torch.testing.assert_close(seen[0].mean(1)[0], bank.statistics[2]["mean"], rtol=0, atol=1e-5)


def test_modes_differ(transformer: Any, bank: ReferenceBank) -> None:
    outputs = []
    for mode in MODES:
        with reference_attention(transformer, bank, mode=mode, strength=0.7):
            outputs.append(run(transformer, tiny_inputs()))
    for i, first in enumerate(outputs):
        assert all((first - second).abs().max() > 1e-4 for second in outputs[i + 1 :])


def test_strengths_below_zero_belong_to_refdrop(transformer: Any, bank: ReferenceBank) -> None:
    inputs = tiny_inputs()
    stock = run(transformer, inputs)
    with reference_attention(transformer, bank, mode="refdrop", strength=-0.2):
        away = run(transformer, inputs)
    assert (away - stock).abs().max() > 1e-3
    for mode in set(MODES) - {"refdrop"}:
        with (
            pytest.raises(InputError, match=r"must be >= 0 with ref_mode"),
            reference_attention(transformer, bank, mode=mode, strength=-0.2),
        ):
            pytest.fail("the body must not run")


def test_adain_needs_statistics(transformer: Any, bank: ReferenceBank) -> None:
    bare = ReferenceBank(bank.layers, bank.positions, bank.facts)
    with (
        pytest.raises(InputError, match="no statistics of layer 0"),
        reference_attention(transformer, bare, mode="attn+adain"),
    ):
        pytest.fail("the body must not run")
    with reference_attention(transformer, bare):
        run(transformer, tiny_inputs())


def test_an_empty_bank_is_the_stock_model(transformer: Any) -> None:
    inputs = tiny_inputs()
    stock = run(transformer, inputs)
    with reference_attention(transformer, ReferenceBank({}, torch.zeros(0, 2))) as active:
        assert not active.present
        assert torch.equal(run(transformer, inputs), stock)


def test_guided_is_seen_in_its_own_pass_alone(transformer: Any, bank: ReferenceBank) -> None:
    inputs = tiny_inputs()
    stock = run(transformer, inputs)
    with reference_attention(transformer, bank, branches="guided") as active:
        unnamed = run(transformer, inputs)
        assert (unnamed - stock).abs().max() > 1e-3, "a caller without branches sees it always"
        for branch in ("source", "edited", "target"):
            active.at(branch)
            assert torch.equal(run(transformer, inputs), stock)
        active.at("reference")
        assert torch.equal(run(transformer, inputs), unnamed)


def test_frame_schedule_acts_frame_by_frame(transformer: Any, bank: ReferenceBank) -> None:
    """A schedule that is 0 in the first of three frames leaves that frame's attention alone."""
    seen: list[Tensor] = []
    transformer.blocks[0].attn1.register_forward_hook(lambda _m, _i, out: seen.append(out))
    inputs = tiny_inputs(frames=3, height=4, width=6)
    run(transformer, inputs)
    for schedule in ("constant", [1.0, 1.0], [0.0, 0.5, 1.0]):
        with reference_attention(
            transformer,
            bank,
            layers=[0],
            frame_schedule=schedule,
        ):
            run(transformer, inputs)
    stock, constant, ones, rising = (out[0].unflatten(0, (3, 6)) for out in seen)
    assert torch.equal(constant, ones)
    torch.testing.assert_close(rising[0], stock[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(rising[2], constant[2], rtol=0, atol=1e-6)
    assert (rising[1] - stock[1]).abs().max() > 1e-4
    assert (rising[1] - constant[1]).abs().max() > 1e-4


@pytest.mark.parametrize("frames", [1, 2, 5, 13])
def test_frame_factors_meet_their_knots_and_stay_between(frames: int) -> None:
    knots = [0.2, 1.0, 1.0, 0.5]
    factors = frame_factors(knots, frames)
    assert factors is not None and factors.shape == (frames,)
    assert factors.min() >= 0.2 - 1e-6 and factors.max() <= 1.0 + 1e-6
    assert math.isclose(factors[0], 0.2, abs_tol=1e-6)
    if frames > 1:
        assert math.isclose(factors[-1], 0.5, abs_tol=1e-6)


def test_constant_schedules_give_no_factors() -> None:
    assert frame_factors("constant", 5) is None and frame_factors([1.0, 1, 1.0], 5) is None
    half = frame_factors([0.5, 0.5], 3)
    assert half is not None and torch.equal(half, torch.full((3,), 0.5))
