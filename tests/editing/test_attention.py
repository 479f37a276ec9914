"""Injection into a tiny Wan transformer with random weights, and into its attention alone."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from einops import rearrange
from torch import Tensor

from refract.base.errors import InputError
from refract.editing.reference.attention import reference_attention
from refract.editing.reference.bank import ReferenceBank
from refract.models.wan_rope import rotary_at, rotate
from tests.tiny.wan import HEAD_DIM, HEADS, LAYERS, run, tiny_inputs, tiny_transformer

TOKENS = 5


@pytest.fixture
def transformer() -> Any:
    return tiny_transformer()


@pytest.fixture
def bank() -> ReferenceBank:
    generator = torch.Generator().manual_seed(2)

    def draw() -> Tensor:
        return torch.randn(TOKENS, HEADS, HEAD_DIM, generator=generator)

    layers = {layer: {"key": draw(), "value": draw()} for layer in range(LAYERS)}
    positions = torch.randint(0, 3, (TOKENS, 2), generator=generator).float()
    return ReferenceBank(layers, positions, {"depth": LAYERS})


class MaskedProcessor:
    """The definition, in float64: softmax over [K; K_ref] with log s on the reference logits."""

    def __init__(self, table: Any, pair: dict[str, Tensor], positions: Tensor, s: float) -> None:
        self.table, self.pair, self.positions, self.s = table, pair, positions, s

    def __call__(
        self, attn: Any, x: Tensor, context: Any, mask: Any, rotary_emb: tuple[Tensor, Tensor]
    ) -> Tensor:
        query, key, value = (
            rearrange(y, "b n (h d) -> b n h d", h=attn.heads)
            for y in (attn.norm_q(attn.to_q(x)), attn.norm_k(attn.to_k(x)), attn.to_v(x))
        )
        cos, sin = rotary_emb[0][..., 0::2], rotary_emb[1][..., 1::2]
        key_ref, value_ref = (
            self.pair[kind][None].expand(len(x), -1, -1, -1) for kind in ("key", "value")
        )
        key_ref = rotate(key_ref, *rotary_at(self.table, self.positions))
        keys = torch.cat([rotate(key, cos, sin), key_ref], 1).double()
        values = torch.cat([value, value_ref], 1).double()
        scores = torch.einsum("bqhd,bkhd->bhqk", rotate(query, cos, sin).double(), keys)
        scores = scores / math.sqrt(keys.shape[-1])
        scores[..., key.shape[1] :] += math.log(self.s)
        out = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), values).flatten(2).float()
        return attn.to_out[1](attn.to_out[0](out))


def expected_output(
    transformer: Any, bank: ReferenceBank, inputs: dict[str, Tensor], s: float, frame: float
) -> Tensor:
    positions = torch.cat([torch.full((TOKENS, 1), frame), bank.positions], 1)
    stock = [block.attn1.processor for block in transformer.blocks]
    for layer, block in enumerate(transformer.blocks):
        block.attn1.processor = MaskedProcessor(transformer.rope, bank.layers[layer], positions, s)
    out = run(transformer, inputs)
    for block, processor in zip(transformer.blocks, stock, strict=True):
        block.attn1.processor = processor
    return out


@pytest.mark.parametrize("s", [0.1, 0.5, 1.0, 1.5])
def test_joint_equals_the_definition_through_the_whole_model(
    transformer: Any, bank: ReferenceBank, s: float
) -> None:
    inputs = tiny_inputs()
    expected = expected_output(transformer, bank, inputs, s, frame=-1.0)
    with reference_attention(transformer, bank, strength=s):
        out = run(transformer, inputs)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)
    assert (out - run(transformer, inputs)).abs().max() > 1e-3


@pytest.mark.parametrize(("rope", "frame"), [("before", -1.0), ("frame0", 0.0), ("after", 3.0)])
def test_rotary_position_of_the_reference(
    transformer: Any, bank: ReferenceBank, rope: Any, frame: float
) -> None:
    inputs = tiny_inputs(frames=3)
    expected = expected_output(transformer, bank, inputs, 0.7, frame)
    with reference_attention(transformer, bank, strength=0.7, rope=rope):
        torch.testing.assert_close(run(transformer, inputs), expected, rtol=0, atol=1e-5)


def test_position_after_follows_the_length_of_the_clip(
    transformer: Any, bank: ReferenceBank
) -> None:
    with reference_attention(transformer, bank, rope="after"):
        for frames in (2, 5, 1):
            inputs = tiny_inputs(frames=frames)
            out = run(transformer, inputs)
            with reference_attention(transformer, bank, rope="after"):
                assert torch.equal(run(transformer, inputs), out)


def test_without_rope_differs_from_with(transformer: Any, bank: ReferenceBank) -> None:
    outputs = []
    for rope in ("none", "before", "frame0", "after"):
        with reference_attention(transformer, bank, rope=rope):
            outputs.append(run(transformer, tiny_inputs()))
    for i, first in enumerate(outputs):
        assert all((first - second).abs().max() > 1e-4 for second in outputs[i + 1 :])


@pytest.mark.parametrize(
    ("batch", "frames", "height", "width"), [(1, 1, 2, 2), (3, 5, 4, 8), (2, 3, 6, 2)]
)
def test_batches_odd_frames_and_oblong_grids(
    transformer: Any, bank: ReferenceBank, batch: int, frames: int, height: int, width: int
) -> None:
    inputs = tiny_inputs(frames, height, width, batch)
    expected = expected_output(transformer, bank, inputs, 0.5, frame=-1.0)
    with reference_attention(transformer, bank, strength=0.5):
        torch.testing.assert_close(run(transformer, inputs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"strength": 0.0}, {"layers": []}, {"bank": None}, {"enabled": False}]
)
@pytest.mark.parametrize("variant", ["plain", "fused", "lora"])
def test_switched_off_is_the_stock_model_to_the_bit(
    transformer: Any, bank: ReferenceBank, options: dict[str, Any], variant: str
) -> None:
    prepare(transformer, variant)
    inputs = tiny_inputs(batch=2)
    stock = run(transformer, inputs)
    settings = dict(options)
    enabled = settings.pop("enabled", True)
    with reference_attention(transformer, settings.pop("bank", bank), **settings) as active:
        active.enabled = enabled
        assert torch.equal(run(transformer, inputs), stock)
    assert torch.equal(run(transformer, inputs), stock)


def prepare(transformer: Any, variant: str) -> None:
    if variant == "fused":
        for block in transformer.blocks:
            block.attn1.fuse_projections()
    if variant == "lora":
        from peft import LoraConfig

        config = LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False)
        transformer.add_adapter(config)


@pytest.mark.parametrize("variant", ["fused", "lora"])
def test_fused_projections_and_lora_take_part(
    transformer: Any, bank: ReferenceBank, variant: str
) -> None:
    inputs = tiny_inputs()
    with reference_attention(transformer, bank):
        before = run(transformer, inputs)
    prepare(transformer, variant)
    with reference_attention(transformer, bank):
        after = run(transformer, inputs)
    if variant == "fused":  # the same weights in one matrix
        torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    else:
        expected = expected_output(transformer, bank, inputs, 1.0, frame=-1.0)
        torch.testing.assert_close(after, expected, rtol=0, atol=1e-5)
        assert (after - before).abs().max() > 1e-3


def test_only_chosen_layers_are_touched(transformer: Any, bank: ReferenceBank) -> None:
    stock = [block.attn1.processor for block in transformer.blocks]
    cross = [block.attn2.processor for block in transformer.blocks]
    with reference_attention(transformer, bank, layers="1-3"):
        inside = [block.attn1.processor for block in transformer.blocks]
        assert [a is b for a, b in zip(inside, stock, strict=True)] == [True, False, False, True]
        assert [block.attn2.processor for block in transformer.blocks] == cross
    assert [block.attn1.processor for block in transformer.blocks] == stock


def test_original_processors_return_after_an_exception(
    transformer: Any, bank: ReferenceBank
) -> None:
    stock, hooks = (
        [b.attn1.processor for b in transformer.blocks],
        transformer.rope._forward_pre_hooks,
    )
    with pytest.raises(ZeroDivisionError), reference_attention(transformer, bank):
        raise ZeroDivisionError
    assert [block.attn1.processor for block in transformer.blocks] == stock
    assert not hooks


@pytest.mark.parametrize(
    ("branches", "seen"),
    [
        ("target", {"target"}),
        ("edited", {"edited", "target"}),
        ("all", {"source", "edited", "target"}),
    ],
)
def test_branches(transformer: Any, bank: ReferenceBank, branches: Any, seen: set[str]) -> None:
    inputs = tiny_inputs()
    stock = run(transformer, inputs)
    with reference_attention(transformer, bank, branches=branches) as active:
        for branch in ("source", "edited", "target"):
            active.at(branch)
            assert torch.equal(run(transformer, inputs), stock) is (branch not in seen)


def test_nested_contexts_of_two_models_do_not_meet(bank: ReferenceBank) -> None:
    first, second = tiny_transformer(0), tiny_transformer(1)
    inputs = tiny_inputs()
    stock = run(second, inputs)
    with reference_attention(first, bank, branches="all"):
        assert torch.equal(run(second, inputs), stock)


def test_a_backend_set_inside_reaches_the_stock_processor(
    transformer: Any, bank: ReferenceBank
) -> None:
    stock = transformer.blocks[0].attn1.processor
    with reference_attention(transformer, bank) as active:
        transformer.blocks[0].attn1.processor._attention_backend = "_native_math"
        active.enabled = False
        run(transformer, tiny_inputs())
    assert stock._attention_backend == "_native_math"


def test_has_the_attributes_diffusers_looks_for(transformer: Any, bank: ReferenceBank) -> None:
    with reference_attention(transformer, bank):
        kind = type(transformer.blocks[0].attn1.processor)
    assert kind._attention_backend is None and kind._parallel_config is None


def test_bfloat16(bank: ReferenceBank) -> None:
    transformer = tiny_transformer().bfloat16()
    inputs = {name: x.bfloat16() for name, x in tiny_inputs().items()}
    with reference_attention(transformer, bank, strength=0.5):
        out = run(transformer, inputs)
    assert out.dtype == torch.bfloat16 and out.isfinite().all()


def test_in_a_stock_pipeline(bank: ReferenceBank) -> None:
    """Three lines around a pipeline of the user's own."""
    from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline

    from tests.tiny.wan import tiny_text, tiny_vae

    tokenizer, text_encoder = tiny_text()
    pipeline = WanPipeline(
        tokenizer=tokenizer, text_encoder=text_encoder, vae=tiny_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(), transformer=tiny_transformer(),
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)

    def sample() -> Tensor:
        return pipeline(
            "a red mug", height=32, width=32, num_frames=5, num_inference_steps=2,
            guidance_scale=2.0, max_sequence_length=8, output_type="latent",
            generator=torch.Generator().manual_seed(0),
        ).frames  # fmt: skip

    plain = sample()
    with reference_attention(pipeline.transformer, bank, strength=0.8):
        guided = sample()
    assert (guided - plain).abs().max() > 1e-3
    assert torch.equal(sample(), plain)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"strength": float("nan")}, "ref_strength = nan"),
    ({"strength": -0.5}, "ref_strength = -0.5"),
    ({"strength": math.inf}, "ref_strength = inf"),
    ({"mode": "blend"}, "ref_mode = 'blend': must be one of joint"),
    ({"branches": "both"}, "must be one of target, edited, all, guided"),
    ({"rope": "middle"}, "must be one of before, frame0, after, none"),
    ({"layers": "early"}, "this model has 4 layers"),
    ({"layers": [4]}, "this model has 4 layers"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_choices(
    transformer: Any, bank: ReferenceBank, options: dict[str, Any], message: str
) -> None:
    with (
        pytest.raises(InputError, match=message),
        reference_attention(transformer, bank, **options),
    ):
        pytest.fail("the body must not run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda b: ReferenceBank(b.layers, b.positions, {"depth": 30}),
            "model of 30 layers .* has 4",
        ),
        (
            lambda b: ReferenceBank(
                {i: {k: x[:, :1] for k, x in p.items()} for i, p in b.layers.items()}, b.positions
            ),
            "1 x 12 heads x width, but this model has 2 x 12",
        ),
        (lambda b: ReferenceBank({0: b.layers[0]}, b.positions, b.facts), "holds no layer 1"),
    ],
)
def test_bank_of_another_model(
    transformer: Any,
    bank: ReferenceBank,
    change: Callable[[ReferenceBank], ReferenceBank],
    message: str,
) -> None:
    with (
        pytest.raises(InputError, match=message),
        reference_attention(transformer, change(bank)),
    ):
        pytest.fail("the body must not run")
