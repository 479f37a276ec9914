"""A long clip in windows: how they lie, what they blend to, and what they may not change."""

import itertools
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.edit import ReferenceSettings, edit_with_reference
from refract.editing.samplers.edited_region import edited_region
from refract.editing.samplers.latent_edit import FlowSettings, RegionSettings, edit_latents
from refract.editing.samplers.noise_levels import edit_sigmas
from refract.editing.samplers.source_branch import (
    SourceBranch,
    compute_source_branch,
    source_velocity_of,
)
from refract.editing.samplers.velocity import Prompt
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.editing.samplers.windows import Window, Windowed, WindowedVelocity, plan_windows, whole
from refract.models.step_cache import step_cache
from tests.tiny.latents import draw
from tests.tiny.wan import run

SAMPLERS = ("flowalign", "flowedit", "sdedit")
SHAPE = (1, 4, 7, 4, 6)
WINDOWS = (Windowed(3, 0), Windowed(4, 1), Windowed(5, 3))
TOKENS = {"source": (1, 2), "target": (1,)}

divisions = st.tuples(st.integers(1, 40), st.integers(2, 12), st.integers(0, 10)).filter(
    lambda drawn: drawn[2] < drawn[1] - 1
)


# ------------------------------------------------------------------------------------- the plan


def test_windows_of_a_clip_written_out() -> None:
    first, second, third = plan_windows(9, 5, 2)
    assert [window.frames for window in (first, second, third)] == [
        [0, 1, 2, 3, 4], [0, 3, 4, 5, 6], [0, 5, 6, 7, 8],
    ]  # fmt: skip
    assert first.weights == pytest.approx([1, 1, 1, 2 / 3, 1 / 3])
    assert second.weights == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1 / 3])
    assert third.weights == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert [window.anchored for window in (first, second, third)] == [False, True, True]
    assert plan_windows(5, 5, 2) == (whole(5),) == (Window(0, 5, (1.0,) * 5, 5),)


@given(divisions)
def test_windows_are_whole_overlap_enough_and_cover_every_latent(
    division: tuple[int, int, int],
) -> None:
    length, latents, overlap = division
    windows = plan_windows(length, latents, overlap)
    assert all(len(window.frames) == min(length, latents) for window in windows)
    assert windows[0].start == 0 and windows[-1].stop == length
    for one, other in itertools.pairwise(windows):
        assert other.start > one.start and one.stop - other.start >= overlap
    total = torch.zeros(length)
    for window in windows:
        assert all(0 < weight <= 1 for weight in window.weights)
        total[window.start : window.stop] += torch.tensor(window.weights)
    torch.testing.assert_close(total, torch.ones(length))
    if length > latents:  # as few as there can be
        assert len(windows) == 1 + -(-(length - latents) // (latents - 1 - overlap))


@pytest.mark.parametrize("division", [(0, 5, 2), (9, 5, 4), (9, 5, -1), (9, 1, 0)])
def test_windows_that_do_not_advance_are_refused(division: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="latents in windows of"):
        plan_windows(*division)


# ------------------------------------------------------------------------------------ the blend


class Field:
    """v = a x + b with a and b of each latent of the clip, seen through the window it is given."""

    def __init__(self, length: int) -> None:
        self.slopes, self.offsets = (draw(length, seed=seed).double() for seed in (1, 2))

    def __call__(
        self, x: Tensor, sigma: float, prompt: Prompt, window: Window | None = None
    ) -> Tensor:
        assert window is not None
        a, b = (part[window.frames].view(-1, 1, 1) for part in (self.slopes, self.offsets))
        return sigma * (a * x + b) * (1.0 if prompt == "target" else -2.0)

    def at_source(
        self, x: Tensor, sigma: float, prompt: Prompt = "source", window: Window | None = None
    ) -> Tensor:
        return self(x, sigma, prompt, window)


@given(divisions)
def test_a_field_of_each_frame_alone_is_the_same_in_any_windows(
    division: tuple[int, int, int],
) -> None:
    length, latents, overlap = division
    x, field = draw(1, 2, length, 2, 3, seed=3).double(), Field(length)
    windowed = WindowedVelocity(field, Windowed(latents, overlap))
    one = whole(length)
    torch.testing.assert_close(windowed(x, 0.4, "target"), field(x, 0.4, "target", one))
    torch.testing.assert_close(windowed.at_source(x, 0.4), field(x, 0.4, "source", one))


def test_the_first_latent_is_the_first_windows_alone() -> None:
    """And what a window makes of its anchor goes nowhere."""

    class Loud(Field):
        def __call__(
            self, x: Tensor, sigma: float, prompt: Prompt, window: Window | None = None
        ) -> Tensor:
            assert window is not None
            v = torch.full_like(x, float(window.start))
            if window.anchored:
                v[:, :, 0] = 1e6
            return v

    v = WindowedVelocity(Loud(9), Windowed(5, 2))(torch.zeros(1, 1, 9, 1, 1), 0.5, "target")
    assert v.flatten().tolist() == pytest.approx([0, 0, 0, 1, 2, 11 / 3, 13 / 3, 5, 5])


# ------------------------------------------------------------------------------------ the edits


def flow(sampler: Any = "flowalign", **changes: Any) -> FlowSettings:
    settings = {"guidance": 4.0, "zeta": 0.02, "seed": 3, "source_guidance": 1.7}
    return FlowSettings(edit_sigmas(3, 1.0, 1.5), sampler=sampler, **{**settings, **changes})


def source_of(transformer: Any, contexts: Any, settings: FlowSettings) -> SourceBranch:
    velocity = WindowedVelocity(WanVelocity(transformer, contexts), settings.windowed)
    evaluate = source_velocity_of(velocity, settings.algorithm.source, settings.source_guidance)
    with step_cache(transformer, settings.cache_threshold):
        return compute_source_branch(
            evaluate, draw(*SHAPE, seed=9), settings.sigmas, settings.seed, torch.float32
        )


def plain(transformer: Any, contexts: Any, settings: FlowSettings) -> Tensor:
    return edit_latents(transformer, contexts, source_of(transformer, contexts, settings), settings)


def use(strength: float = 0.8, **changes: Any) -> ReferenceSettings:
    return ReferenceSettings(strength, "joint", "all", "target", "before", **changes)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_clip_in_one_window_is_the_clip_without_windows_to_the_bit(
    transformer: Any, contexts: Any, bank: ReferenceBank, sampler: str
) -> None:
    region = RegionSettings(TOKENS, "1-3", 0.5, 0.3)
    edits = []
    for windowed in (None, Windowed(7, 2), Windowed(9, 2), Windowed(5, 2)):
        settings = flow(sampler, windowed=windowed, region=region)
        source = source_of(transformer, contexts, settings)
        reference = use(frame_schedule=(1.0, 0.3))
        edits.append(edit_with_reference(transformer, contexts, source, settings, bank, reference))
    assert torch.equal(edits[1], edits[0]) and torch.equal(edits[2], edits[0])
    assert (edits[3] - edits[0]).abs().max() > 1e-3


@pytest.mark.parametrize("windowed", WINDOWS)
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_equal_prompts_leave_the_source_untouched_in_any_windows(
    transformer: Any, contexts: Any, windowed: Windowed, threshold: float | None
) -> None:
    same = {**contexts, "target": contexts["source"]}
    region = None if threshold else RegionSettings(TOKENS, "1-3", 0.5, 0.3)
    settings = flow(
        guidance=13.5, zeta=0.1, windowed=windowed, region=region, cache_threshold=threshold
    )
    assert torch.equal(plain(transformer, same, settings), draw(*SHAPE, seed=9))
    if threshold is not None:
        return
    flowedit = flow("flowedit", guidance=6.0, source_guidance=6.0, windowed=windowed)
    assert torch.equal(plain(transformer, same, flowedit), draw(*SHAPE, seed=9))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_strength_0_and_a_stored_source_branch_hold_to_the_bit_in_windows(
    transformer: Any, contexts: Any, bank: ReferenceBank, sampler: str
) -> None:
    settings = flow(sampler, windowed=Windowed(4, 1))
    source = source_of(transformer, contexts, settings)
    edit = edit_latents(transformer, contexts, source, settings)
    none = edit_with_reference(transformer, contexts, source, settings, bank, use(0.0))
    assert torch.equal(none, edit)
    live = edit_latents(transformer, contexts, source, settings, live_source=True)
    assert torch.equal(live, edit)
    full = edit_with_reference(transformer, contexts, source, settings, bank, use())
    assert (full - edit).abs().max() > 1e-3


def test_every_window_has_a_cache_of_its_own(transformer: Any, contexts: Any) -> None:
    """A threshold below every change changes no bit; above all, each cache is filled once."""
    exact, cached = (
        plain(transformer, contexts, flow(windowed=Windowed(4, 1), cache_threshold=threshold))
        for threshold in (None, 1e-6)
    )
    assert torch.equal(exact, cached)
    settings = flow(windowed=Windowed(4, 1), cache_threshold=10.0)
    source = source_of(transformer, contexts, settings)
    counts: Counter[int] = Counter()
    hooks = [
        block.norm1.register_forward_hook(lambda *_, index=index: counts.update([index]))
        for index, block in enumerate(transformer.blocks)
    ]
    edit_latents(transformer, contexts, source, settings)
    for hook in hooks:
        hook.remove()
    steps, windows = len(settings.sigmas) - 1, 3
    assert counts[0] == 2 * steps * windows and counts[1] == 2 * windows


# ------------------------------------------------------------------------------- what listeners do


def test_the_schedule_of_the_reference_runs_over_the_whole_clip(
    transformer: Any, contexts: Any, bank: ReferenceBank
) -> None:
    """Factors that are 0 but at the clip's end leave what the first window makes untouched."""
    settings = flow(windowed=Windowed(4, 0))
    assert [window.start for window in plan_windows(7, 4, 0)] == [0, 4]
    source = source_of(transformer, contexts, settings)
    edit = edit_latents(transformer, contexts, source, settings)
    late = use(frame_schedule=(0.0, 0.0, 0.0, 1.0, 1.0))
    referred = edit_with_reference(transformer, contexts, source, settings, bank, late)
    changed = (referred - edit).abs().amax((0, 1, 3, 4))
    assert torch.equal(changed[:4] > 1e-6, torch.tensor([False] * 4)) and changed[4:].min() > 1e-4


def test_maps_of_windows_are_one_map_before_the_threshold(transformer: Any, contexts: Any) -> None:
    """Recorded by windows, against the very maps of those passes blended by hand."""
    x, windows = draw(*SHAPE, seed=4), plan_windows(7, 4, 1)
    options: dict[str, Any] = {"layers": frozenset({1}), "threshold": 0.5}
    with edited_region(transformer, TOKENS, **options, zeta=0.0, zeta_outside=1.0) as region:
        velocity = WindowedVelocity(WanVelocity(transformer, contexts, region.at), Windowed(4, 1))
        velocity(x, 0.5, "target")
        zeta = region.zeta(0, 0.5)
        mask = region.mask
    blended = torch.zeros(7, 2, 3)
    for window in windows:
        for weight, frame, row in zip(
            window.weights,
            range(window.start, window.stop),
            shares(transformer, contexts["target"], x[:, :, window.frames])[window.anchored :],
            strict=True,
        ):
            blended[frame] += weight * row
    scaled = (blended - blended.min()) / (blended.max() - blended.min())
    assert torch.equal(mask, scaled >= 0.5) and 0 < mask.sum() < mask.numel()
    assert zeta.shape == (1, 1, *SHAPE[2:])


def shares(transformer: Any, context: Tensor, x: Tensor) -> Tensor:
    """The target word's attention (frames, 2, 3) in layer 1 of one pass."""
    seen: dict[str, Tensor] = {}
    attn = transformer.blocks[1].attn2
    hooks = [
        norm.register_forward_hook(lambda *call, name=name: seen.update({name: call[-1]}))
        for name, norm in (("q", attn.norm_q), ("k", attn.norm_k))
    ]
    run(
        transformer,
        {
            "hidden_states": x, "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": context,
        },
    )  # fmt: skip
    for hook in hooks:
        hook.remove()
    query, key = (seen[name][0].unflatten(-1, (attn.heads, -1)).movedim(1, 0) for name in "qk")
    logits = query @ key.mT / query.shape[-1] ** 0.5
    return logits.softmax(-1)[..., 1].mean(0).view(x.shape[2], 2, 3)
