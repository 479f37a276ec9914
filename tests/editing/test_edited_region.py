"""The region of the edited words in a tiny Wan transformer with random weights."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from refract.base.errors import InputError
from refract.editing.samplers.edited_region import EditedRegion, edited_region, word_attention
from refract.editing.samplers.flowalign import sample_flowalign
from refract.editing.samplers.wan_velocity import WanVelocity
from tests.tiny.wan import HEADS, LAYERS, WORDS, run, tiny_inputs, tiny_transformer

TOKENS = {"source": (1, 2), "target": (1,)}
OPTIONS: dict[str, Any] = {
    "layers": frozenset({1, 2}), "threshold": 0.5, "zeta": 0.01, "zeta_outside": 0.25,
}  # fmt: skip


@pytest.fixture
def transformer() -> Any:
    return tiny_transformer()


def prepare(transformer: Any, variant: str) -> None:
    if variant == "fused":
        for block in transformer.blocks:
            block.attn2.fuse_projections()
    if variant == "lora":
        from peft import LoraConfig

        config = LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False)
        transformer.add_adapter(config)


def written_out(attn: Any, x: Tensor, context: Tensor, words: tuple[int, ...]) -> Tensor:
    """The definition, token by token and head by head in float64."""
    key = attn.to_kv(context).chunk(2, -1)[0] if hasattr(attn, "to_kv") else attn.to_k(context)
    query, key = attn.norm_q(attn.to_q(x)).double(), attn.norm_k(key).double()
    share = torch.zeros(x.shape[:2], dtype=torch.float64)
    size = query.shape[-1] // HEADS
    for row in range(len(x)):
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            for token in range(x.shape[1]):
                logits = key[row, :, part] @ query[row, token, part] / math.sqrt(size)
                weights = logits.exp() / logits.exp().sum()
                share[row, token] += weights[list(words)].sum() / HEADS
    return share


def attention_to(attn: Any, x: Tensor, context: Tensor, words: tuple[int, ...]) -> Tensor:
    """`word_attention` of what a cross-attention with these inputs forms."""
    seen: dict[str, Tensor] = {}
    handles = [
        attn.norm_q.register_forward_hook(lambda *call: seen.update(query=call[-1])),
        attn.norm_k.register_forward_hook(lambda *call: seen.update(key=call[-1])),
    ]
    attn(x, context)
    for handle in handles:
        handle.remove()
    return word_attention(seen["query"], seen["key"], attn.heads, words)


def capture(transformer: Any, inputs: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """What each cross-attention of a forward pass gets."""
    seen: list[tuple[Tensor, Tensor]] = []
    handles = [
        block.attn2.register_forward_pre_hook(lambda _, args: seen.append(args[:2]))
        for block in transformer.blocks
    ]
    run(transformer, inputs)
    for handle in handles:
        handle.remove()
    return seen


def unit(x: Tensor) -> Tensor:
    return (x - x.min()) / (x.max() - x.min())


@pytest.mark.parametrize("variant", ["plain", "fused", "lora"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("words", [(0,), (3, 1), tuple(range(WORDS))])
def test_attention_is_the_softmax_written_out(
    transformer: Any, variant: str, batch: int, words: tuple[int, ...]
) -> None:
    prepare(transformer, variant)
    for layer, (x, context) in enumerate(capture(transformer, tiny_inputs(2, batch=batch))):
        attn = transformer.blocks[layer].attn2
        share = attention_to(attn, x, context, words)
        expected = written_out(attn, x, context, words)
        torch.testing.assert_close(share.double(), expected, rtol=0, atol=1e-6)
    if len(words) == WORDS:
        torch.testing.assert_close(share, torch.ones_like(share))


def test_attention_does_not_depend_on_the_rows_at_a_time(
    transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (x, context), *_ = capture(transformer, tiny_inputs())
    attn = transformer.blocks[0].attn2
    whole = attention_to(attn, x, context, (1, 2))
    monkeypatch.setattr("refract.editing.samplers.edited_region._ROWS", 4)
    torch.testing.assert_close(attention_to(attn, x, context, (1, 2)), whole, rtol=0, atol=1e-6)


def test_attention_is_float32_in_half_precision(transformer: Any) -> None:
    (x, context), *_ = capture(transformer, tiny_inputs())
    attn = transformer.blocks[0].attn2
    exact = attention_to(attn, x, context, (2,))
    half = attention_to(attn.bfloat16(), x.bfloat16(), context.bfloat16(), (2,))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=0, atol=0.02)


@pytest.mark.parametrize("variant", ["plain", "fused", "lora"])
@pytest.mark.parametrize("branch", ["source", "edited", "target", "reference", "negative"])
def test_recording_leaves_every_bit_of_the_output(
    transformer: Any, variant: str, branch: str
) -> None:
    prepare(transformer, variant)
    inputs = tiny_inputs(batch=2)
    stock = run(transformer, inputs)
    with edited_region(transformer, TOKENS, **OPTIONS) as region:
        region.at(branch)
        assert torch.equal(run(transformer, inputs), stock)
        region.zeta(0, 0.9)
    assert torch.equal(run(transformer, inputs), stock)


def hooks_of(transformer: Any) -> list[Any]:
    taps = [tap for block in transformer.blocks for tap in norms_of(block)]
    hooks = [list(tap._forward_hooks.values()) for tap in taps]
    return [*transformer.rope._forward_pre_hooks.values(), *itertools.chain(*hooks)]


def norms_of(block: Any) -> tuple[Any, Any]:
    return block.attn2.norm_q, block.attn2.norm_k


def test_hooks_are_on_the_chosen_layers_and_gone_after_an_exception(transformer: Any) -> None:
    processors = [block.attn2.processor for block in transformer.blocks]
    with pytest.raises(ZeroDivisionError), edited_region(transformer, TOKENS, **OPTIONS):
        hooked = [
            all(norm._forward_hooks for norm in norms_of(block)) for block in transformer.blocks
        ]
        assert hooked == [layer in OPTIONS["layers"] for layer in range(LAYERS)]
        raise ZeroDivisionError
    assert hooks_of(transformer) == []
    assert [block.attn2.processor for block in transformer.blocks] == processors


def expected_map(
    transformer: Any, passes: list[dict[str, Tensor]], words: tuple[int, ...]
) -> Tensor:
    """Mean over passes of the map of layers 1 and 2, each scaled to 0..1."""
    maps = []
    for inputs in passes:
        seen = capture(transformer, inputs)
        layers = [written_out(transformer.blocks[i].attn2, *seen[i], words) for i in (1, 2)]
        maps.append(unit(torch.stack(layers).mean((0, 1))))
    return torch.stack(maps).mean(0)


def test_region_is_the_union_of_the_running_means(transformer: Any) -> None:
    steps = [
        {"edited": tiny_inputs(seed=seed), "target": tiny_inputs(seed=seed + 10)}
        for seed in (1, 2, 3)
    ]
    del steps[0]["edited"]  # FlowAlign skips it at the first step
    with edited_region(transformer, TOKENS, **OPTIONS) as region:
        for step, passes in enumerate(steps):
            for branch, inputs in [*passes.items(), ("source", tiny_inputs(seed=77))]:
                region.at(branch)
                run(transformer, inputs)
            region.zeta(step, 0.5)
            mask = region.mask.clone()
            assert torch.equal(region.mask, mask)  # asking does not move it
    edited = expected_map(transformer, [s["edited"] for s in steps if "edited" in s], (1, 2))
    target = expected_map(transformer, [s["target"] for s in steps], (1,))
    expected = torch.maximum(edited, target) >= OPTIONS["threshold"]
    assert mask.shape == (3, 2, 3)
    assert torch.equal(mask, expected.view(3, 2, 3))
    assert 0 < mask.sum() < mask.numel()


def record(
    transformer: Any, region: EditedRegion, *branches: str, step: int = 0, **shape: int
) -> Tensor:
    for branch in branches:
        region.at(branch)
        run(transformer, tiny_inputs(**shape))
    return region.zeta(step, 0.5)


def test_a_prompt_without_words_contributes_nothing(transformer: Any) -> None:
    both = ("edited", "target")
    with edited_region(transformer, {"source": (2,), "target": ()}, **OPTIONS) as region:
        alone = record(transformer, region, *both)
    with edited_region(transformer, {"source": (2,)}, **OPTIONS) as region:
        assert torch.equal(record(transformer, region, *both), alone)
        assert torch.equal(record(transformer, region, "edited"), alone)


def test_before_anything_is_recorded_the_pull_is_that_of_plain_flowalign(transformer: Any) -> None:
    with edited_region(transformer, {"source": (2,)}, **OPTIONS) as region:
        zeta = record(transformer, region, "source", "target")
        assert torch.equal(zeta, torch.full_like(zeta, OPTIONS["zeta"]))
        assert record(transformer, region, "edited", step=1).max() == OPTIONS["zeta_outside"]


def test_a_new_edit_and_a_new_grid_forget_the_old(transformer: Any) -> None:
    with edited_region(transformer, TOKENS, **OPTIONS) as region:
        first = record(transformer, region, "target")
        record(transformer, region, "edited", "target", step=1, seed=5)
        assert torch.equal(record(transformer, region, "target", step=0), first)
        record(transformer, region, "target", step=1, seed=5)
        other = record(transformer, region, "target", step=2, frames=1)
    with edited_region(transformer, TOKENS, **OPTIONS) as region:
        assert torch.equal(record(transformer, region, "target", frames=1), other)


@given(
    frames=st.integers(1, 4),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    threshold=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_zeta_has_two_values_in_whole_tokens(
    frames: int, rows: int, columns: int, threshold: float, seed: int
) -> None:
    transformer, options = tiny_transformer(), {**OPTIONS, "threshold": threshold}
    with edited_region(transformer, TOKENS, **options) as region:
        zeta = record(
            transformer,
            region,
            "target",
            frames=frames,
            height=2 * rows,
            width=2 * columns,
            seed=seed,
        )
        assert zeta.shape == (1, 1, frames, 2 * rows, 2 * columns) and zeta.dtype == torch.float32
        assert region.mask.shape == (frames, rows, columns)
        inside = region.mask.repeat_interleave(2, 1).repeat_interleave(2, 2)
        values = {True: OPTIONS["zeta"], False: OPTIONS["zeta_outside"]}
        for value, where in ((values[True], inside), (values[False], ~inside)):
            assert torch.all(zeta[0, 0][where] == value)
        assert inside.any()  # the greatest value is 1, no threshold is above
        if threshold == 0:
            assert inside.all()


@settings(max_examples=15)
@given(low=st.floats(0, 1), high=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_higher_threshold_never_widens_the_region(low: float, high: float, seed: int) -> None:
    transformer, masks = tiny_transformer(), []
    for threshold in sorted((low, high)):
        with edited_region(transformer, TOKENS, **{**OPTIONS, "threshold": threshold}) as region:
            record(transformer, region, "edited", "target", seed=seed)
            masks.append(region.mask)
    assert torch.all(masks[0] | ~masks[1])


def test_zeta_and_mask_need_what_comes_before_them(transformer: Any) -> None:
    with edited_region(transformer, TOKENS, **OPTIONS) as region:
        with pytest.raises(ValueError, match="no step"):
            _ = region.mask
        with pytest.raises(ValueError, match="no forward pass"):
            region.zeta(0, 1.0)


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        ({"source": (), "target": ()}, {}, r"flowalign\.region\.words"),
        (TOKENS, {"layers": frozenset()}, r"flowalign\.region\.layers = \[\].* 4 layers"),
        (TOKENS, {"layers": frozenset({1, 4})}, r"flowalign\.region\.layers = \[1, 4\]"),
        (TOKENS, {"layers": frozenset({-1})}, r"flowalign\.region\.layers = \[-1\]"),
        (TOKENS, {"threshold": 1.5}, r"flowalign\.region\.threshold = 1\.5"),
        (TOKENS, {"threshold": math.nan}, r"flowalign\.region\.threshold = nan"),
        (TOKENS, {"zeta": -0.1}, r"flowalign\.zeta = -0\.1"),
        (TOKENS, {"zeta_outside": math.inf}, r"flowalign\.region\.zeta_outside = inf"),
    ],
)
def test_values_out_of_range_are_input_errors(
    transformer: Any, tokens: dict[str, tuple[int, ...]], options: dict[str, Any], message: str
) -> None:
    with (
        pytest.raises(InputError, match=message),
        edited_region(transformer, tokens, **{**OPTIONS, **options}),
    ):
        pass
    assert hooks_of(transformer) == []


def edit(transformer: Any, zeta: float, zeta_outside: float | None) -> tuple[Tensor, Tensor]:
    """Source and edited latents, plain or with a region."""
    x_src = tiny_inputs()["hidden_states"]
    contexts: Any = {
        prompt: tiny_inputs(seed=seed)["encoder_hidden_states"]
        for prompt, seed in (("source", 3), ("target", 4))
    }
    common: dict[str, Any] = {"guidance": 3.0, "generator": torch.Generator().manual_seed(0)}
    sigmas = [0.9, 0.6, 0.3, 0.0]
    if zeta_outside is None:
        velocity = WanVelocity(transformer, contexts)
        return x_src, sample_flowalign(velocity, x_src, sigmas, zeta=zeta, **common)
    options = {**OPTIONS, "zeta": zeta, "zeta_outside": zeta_outside}
    with edited_region(transformer, TOKENS, **options) as region:
        velocity = WanVelocity(transformer, contexts, region.at)
        return x_src, sample_flowalign(velocity, x_src, sigmas, zeta=region.zeta, **common)


def test_one_zeta_for_both_is_plain_flowalign_and_a_larger_one_keeps_more(transformer: Any) -> None:
    x_src, plain = edit(transformer, 0.0, None)
    _, same = edit(transformer, 0.0, 0.0)
    assert torch.equal(same, plain)
    _, kept = edit(transformer, 0.0, 0.3)
    assert (kept - x_src).square().mean() < (plain - x_src).square().mean()
