"""Edits of latents with a tiny Wan transformer: samplers, branches, source reuse, exactness."""

from typing import Any

import pytest
import torch
from torch import Tensor

from refract.editing.reference.attention import reference_attention
from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.edit import ReferenceSettings, edit_with_reference
from refract.editing.samplers.latent_edit import FlowSettings, RegionSettings, edit_latents
from refract.editing.samplers.noise_levels import edit_sigmas
from refract.editing.samplers.source_branch import (
    SourceBranch,
    compute_source_branch,
    source_velocity_of,
)
from refract.editing.samplers.velocity import Prompt
from refract.editing.samplers.wan_velocity import WanVelocity
from tests.tiny.latents import draw

SAMPLERS = ("flowalign", "flowedit", "sdedit")


def flow(sampler: Any = "flowalign", **changes: Any) -> FlowSettings:
    sigmas = edit_sigmas(5, 0.8, 1.5)
    settings = {"guidance": 4.0, "zeta": 0.02, "seed": 3, "source_guidance": 1.7}
    return FlowSettings(sigmas, sampler=sampler, **{**settings, **changes})


def use(strength: float = 0.8, branches: Any = "target", **changes: Any) -> ReferenceSettings:
    return ReferenceSettings(strength, "joint", "all", branches, "before", **changes)


def source_of(
    transformer: Any,
    contexts: dict[Prompt, Tensor],
    settings: FlowSettings,
    shape: tuple[int, ...] = (1, 4, 3, 4, 6),
) -> SourceBranch:
    velocity = WanVelocity(transformer, contexts)
    evaluate = source_velocity_of(velocity, settings.algorithm.source, settings.source_guidance)
    x_src = draw(*shape, seed=9)
    return compute_source_branch(evaluate, x_src, settings.sigmas, settings.seed, torch.float32)


class Count:
    """Forward passes of a transformer while it is used as a context."""

    def __init__(self, transformer: Any) -> None:
        self.transformer, self.passes = transformer, 0

    def __enter__(self) -> "Count":
        self.hook = self.transformer.register_forward_pre_hook(self._add)
        return self

    def _add(self, *_: Any) -> None:
        self.passes += 1

    def __exit__(self, *_: object) -> None:
        self.hook.remove()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_without_effect_of_the_reference_the_edit_is_plain_to_the_bit(
    transformer: Any, contexts: Any, bank: ReferenceBank, sampler: str
) -> None:
    settings = flow(sampler)
    source = source_of(transformer, contexts, settings)
    plain = edit_latents(transformer, contexts, source, settings)
    empty = ReferenceBank({}, torch.zeros(0, 2))
    never = use(steps=(0.99, 1.0))
    no_layer = ReferenceSettings(0.8, "joint", (), "target", "before")
    for own_bank, reference in (
        (bank, use(0.0)),
        (bank, use(0.0, "guided")),
        (bank, use(0.0, "all")),
        (bank, no_layer),
        (empty, use()),
        (bank, never),
    ):
        edited = edit_with_reference(transformer, contexts, source, settings, own_bank, reference)
        assert torch.equal(edited, plain)
    for branches in ("target", "edited", "all", "guided"):
        edited = edit_with_reference(
            transformer, contexts, source, settings, bank, use(branches=branches)
        )
        assert edited.isfinite().all() and (edited - plain).abs().max() > 1e-3


@pytest.mark.parametrize("sampler", ["flowalign", "flowedit"])
@pytest.mark.parametrize("branches", ["target", "edited", "guided"])
def test_a_stored_source_branch_gives_the_bits_of_computing_it_afresh(
    transformer: Any, contexts: Any, bank: ReferenceBank, sampler: str, branches: Any
) -> None:
    settings = flow(sampler)
    source = source_of(transformer, contexts, settings)
    plain = edit_latents(transformer, contexts, source, settings)
    assert torch.equal(
        edit_latents(transformer, contexts, source, settings, live_source=True), plain
    )
    edited = edit_with_reference(
        transformer, contexts, source, settings, bank, use(branches=branches)
    )
    with reference_attention(transformer, bank, strength=0.8, branches=branches) as active:
        live = edit_latents(
            transformer,
            contexts,
            SourceBranch(source.x_src, source.velocities[:0]),
            settings,
            listeners=[active.at],
            ref_guidance=1.0 if branches == "guided" else None,
            live_source=True,
            share_first_source=branches != "edited",
        )
    assert torch.equal(live, edited) and not torch.equal(live, plain)


@pytest.mark.parametrize(
    ("sampler", "branches", "a_step", "saved_first"),
    [
        ("flowalign", "target", 2, 1),
        ("flowalign", "edited", 2, 0),
        ("flowalign", "guided", 3, 1),
        ("flowalign", "all", 3, 1),
        ("flowedit", "target", 2, 0),
        ("flowedit", "guided", 3, 0),
        ("sdedit", "target", 2, 0),
    ],
)
def test_forward_passes(
    transformer: Any, contexts: Any, bank: ReferenceBank,
    sampler: str, branches: str, a_step: int, saved_first: int,
) -> None:  # fmt: skip
    settings = flow(sampler)
    source = source_of(transformer, contexts, settings)
    steps = len(settings.sigmas) - 1
    with Count(transformer) as count:
        edit_with_reference(transformer, contexts, source, settings, bank, use(branches=branches))
    assert count.passes == a_step * steps - saved_first


def test_forward_passes_of_the_source_branch(transformer: Any, contexts: Any) -> None:
    for sampler, a_step in (("flowalign", 1), ("flowedit", 2), ("sdedit", 0)):
        settings = flow(sampler)
        with Count(transformer) as count:
            branch = source_of(transformer, contexts, settings)
        steps = len(settings.sigmas) - 1
        assert count.passes == a_step * steps
        assert len(branch.velocities) == (steps if a_step else 0)


@pytest.mark.parametrize("branches", ["target", "all"])
def test_with_all_branches_the_reference_cancels_to_first_order(
    transformer: Any, contexts: Any, bank: ReferenceBank, branches: str
) -> None:
    """Halve the distance of the prompts: the effect of `all` halves, that of `target` stays.

    At equal prompts all three velocities see the same reference and the update sees none of it.
    """
    direction = contexts["target"] - contexts["source"]
    effects = []
    for distance in (0.02, 0.01):
        near: dict[Prompt, Tensor] = {
            "source": contexts["source"],
            "target": contexts["source"] + distance * direction,
        }
        settings = flow(guidance=2.0, zeta=0.0)
        source = source_of(transformer, near, settings)
        plain = edit_latents(transformer, near, source, settings)
        edited = edit_with_reference(
            transformer, near, source, settings, bank, use(branches=branches)
        )
        effects.append((edited - plain).norm())
    ratio = float(effects[0] / effects[1])
    assert (1.8 < ratio < 2.2) if branches == "all" else (0.95 < ratio < 1.05), ratio


def test_target_multiplies_the_reference_by_the_guidance(
    transformer: Any, contexts: Any, bank: ReferenceBank
) -> None:
    """In a single step; with `guided` by its own scale instead."""
    one_step = {"sigmas": (0.9, 0.0), "zeta": 0.0, "seed": 3}

    def effect(w: float, reference: ReferenceSettings) -> Tensor:
        settings = FlowSettings(guidance=w, **one_step)  # type: ignore[arg-type]
        source = source_of(transformer, contexts, settings)
        plain = edit_latents(transformer, contexts, source, settings)
        return edit_with_reference(transformer, contexts, source, settings, bank, reference) - plain

    torch.testing.assert_close(effect(6.0, use()), 3 * effect(2.0, use()), rtol=0, atol=1e-4)
    guided = [effect(w, use(branches="guided", guidance=3.0)) for w in (2.0, 6.0)]
    torch.testing.assert_close(*guided, rtol=0, atol=1e-4)
    torch.testing.assert_close(guided[0], 1.5 * effect(2.0, use()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("shape", [(2, 4, 3, 4, 6), (1, 4, 1, 8, 2), (3, 4, 2, 2, 4)])
def test_batches_odd_frame_counts_and_oblong_clips(
    transformer: Any, contexts: Any, bank: ReferenceBank, sampler: str, shape: tuple[int, ...]
) -> None:
    settings = flow(sampler)
    source = source_of(transformer, contexts, settings, shape)
    edited = edit_with_reference(transformer, contexts, source, settings, bank, use())
    assert edited.shape == shape and edited.isfinite().all()


def test_a_batch_is_its_clips_one_by_one(
    transformer: Any, contexts: Any, bank: ReferenceBank
) -> None:
    settings = flow()
    both = source_of(transformer, contexts, settings, (2, 4, 3, 4, 6))
    edited = edit_with_reference(transformer, contexts, both, settings, bank, use())
    noise = torch.Generator().manual_seed(settings.seed)
    eps = [torch.randn(both.x_src.shape, generator=noise) for _ in settings.sigmas[:-1]]
    velocity = WanVelocity(transformer, contexts)
    for row in range(2):
        x_src = both.x_src[row : row + 1]
        levels = zip(eps, settings.sigmas, strict=False)
        noised = [(1 - s) * x_src + s * e[row : row + 1] for e, s in levels]
        alone = [velocity.at_source(q, s) for q, s in zip(noised, settings.sigmas, strict=False)]
        torch.testing.assert_close(
            both.velocities[:, row : row + 1], torch.stack(alone), rtol=0, atol=1e-5
        )
    assert (edited[0] - edited[1]).abs().max() > 1e-2


def test_equal_prompts_leave_every_bit_of_the_source(transformer: Any, contexts: Any) -> None:
    same = {**contexts, "target": contexts["source"]}
    settings = flow(guidance=13.5, zeta=0.1)
    source = source_of(transformer, same, settings)
    assert torch.equal(edit_latents(transformer, same, source, settings), source.x_src)


def test_region_changes_the_edit_and_leaves_the_processors(transformer: Any, contexts: Any) -> None:
    settings = flow(zeta=0.01)
    source = source_of(transformer, contexts, settings)
    plain = edit_latents(transformer, contexts, source, settings)
    tokens = {"source": (1, 2), "target": (1,)}
    stock = [block.attn2.processor for block in transformer.blocks]

    def edit(outside: float, threshold: float) -> Tensor:
        region = RegionSettings(tokens, "1-3", threshold, outside)
        return edit_latents(transformer, contexts, source, flow(zeta=0.01, region=region))

    assert torch.equal(edit(0.01, 0.5), plain), "the same zeta on both sides"
    assert torch.equal(edit(0.5, 0.0), plain), "everything is inside"
    held = edit(0.5, 0.5)
    assert (held - source.x_src).abs().mean() < (plain - source.x_src).abs().mean()
    assert [block.attn2.processor for block in transformer.blocks] == stock
