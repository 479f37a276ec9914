"""First-block caching on tiny models: what a cached result may depend on, and what not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from refract.editing.reference.bank import ReferenceBank
from refract.editing.reference.edit import ReferenceSettings, edit_with_reference
from refract.editing.reference.extraction import extract_bank
from refract.editing.samplers.latent_edit import FlowSettings, edit_latents
from refract.editing.samplers.noise_levels import edit_sigmas
from refract.editing.samplers.source_branch import (
    SourceBranch,
    compute_source_branch,
    source_velocity_of,
)
from refract.editing.samplers.velocity import Prompt
from refract.editing.samplers.wan_velocity import WanVelocity
from refract.models.memory_options import MemoryOptions, fit_transformer
from refract.models.step_cache import step_cache
from tests.tiny.latents import draw, tiny_bank, tiny_contexts
from tests.tiny.wan import LAYERS, tiny_transformer

SAMPLERS = ("flowalign", "flowedit", "sdedit")
SHAPE = (1, 4, 3, 4, 6)
STEPS = 5
ALL = 10.0  # a threshold that skips every pass but the first


@pytest.fixture(scope="module")
def transformer() -> Any:
    return tiny_transformer()


@pytest.fixture(scope="module")
def contexts() -> dict[Prompt, Tensor]:
    return tiny_contexts()


@pytest.fixture(scope="module")
def bank(transformer: Any, contexts: dict[Prompt, Tensor]) -> ReferenceBank:
    return tiny_bank(transformer, contexts)


def flow(sampler: Any = "flowalign", threshold: float | None = ALL, seed: int = 3) -> FlowSettings:
    return FlowSettings(
        edit_sigmas(STEPS, 1.0, 1.5), 4.0, 0.02, seed, sampler, 1.7, cache_threshold=threshold
    )


def edit(
    transformer: Any, contexts: dict[Prompt, Tensor], settings: FlowSettings, clip: int = 9
) -> Tensor:
    """Source branch and plain edit."""
    return edit_latents(
        transformer, contexts, source(transformer, contexts, settings, clip), settings
    )


def source(transformer: Any, contexts: Any, settings: FlowSettings, clip: int = 9) -> SourceBranch:
    velocity = WanVelocity(transformer, contexts)
    evaluate = source_velocity_of(velocity, settings.algorithm.source, settings.source_guidance)
    with step_cache(transformer, settings.cache_threshold):
        return compute_source_branch(
            evaluate, draw(*SHAPE, seed=clip), settings.sigmas, settings.seed, torch.float32
        )


@contextmanager
def count_blocks(transformer: Any) -> Iterator[list[int]]:
    """How often each block was computed in the `with` block."""
    counts = [0] * len(transformer.blocks)
    hooks = []
    for index, block in enumerate(transformer.blocks):

        def add(*_: object, index: int = index) -> None:
            counts[index] += 1

        hooks.append(block.norm1.register_forward_hook(add))  # a hooked block may be skipped
    yield counts
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_edit_does_not_depend_on_what_was_made_before_it(
    transformer: Any, contexts: dict[Prompt, Tensor], sampler: str
) -> None:
    alone = edit(transformer, contexts, flow(sampler, 0.5))
    for other in SAMPLERS:
        edit(transformer, contexts, flow(other, 0.5, seed=8), clip=21)
    assert torch.equal(edit(transformer, contexts, flow(sampler, 0.5)), alone)
    assert not torch.equal(alone, edit(transformer, contexts, flow(sampler, None)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_velocity_has_a_cache_of_its_own(
    transformer: Any, contexts: dict[Prompt, Tensor], sampler: str
) -> None:
    """The later blocks run once for each of an edit's two velocities, the first in every pass."""
    settings = flow(sampler)
    branch = source(transformer, contexts, settings)
    with count_blocks(transformer) as counts:
        edit_latents(transformer, contexts, branch, settings)
    assert counts == [2 * STEPS] + [2] * (LAYERS - 1)


def test_a_velocity_does_not_see_the_passes_of_another(
    transformer: Any, contexts: dict[Prompt, Tensor]
) -> None:
    states = [draw(*SHAPE, seed=seed) for seed in range(4)]

    def run(*prompts: Prompt) -> dict[str, list[Tensor]]:
        velocity = WanVelocity(transformer, contexts)
        with step_cache(transformer, 0.5):
            made = [[velocity(x, 0.5, prompt) for prompt in prompts] for x in states]
        return dict(zip(prompts, map(list, zip(*made, strict=True)), strict=True))

    both = run("source", "target")
    for prompt in ("source", "target"):
        alone = run(prompt)[prompt]
        assert all(torch.equal(x, y) for x, y in zip(both[prompt], alone, strict=True))


@pytest.mark.parametrize("threshold", [0.3, 0.5, ALL])
def test_equal_prompts_leave_the_source_untouched(
    transformer: Any, contexts: dict[Prompt, Tensor], threshold: float
) -> None:
    same: dict[Prompt, Tensor] = {"source": contexts["source"], "target": contexts["source"]}
    settings = flow(threshold=threshold)
    branch = source(transformer, same, settings)
    assert torch.equal(edit_latents(transformer, same, branch, settings), branch.x_src)


def test_a_threshold_below_every_change_changes_no_bit(
    transformer: Any, contexts: dict[Prompt, Tensor]
) -> None:
    cached, plain = (edit(transformer, contexts, flow(threshold=x)) for x in (1e-6, None))
    assert torch.equal(cached, plain)


def test_a_reference_enters_and_leaves_at_its_steps(
    transformer: Any, contexts: dict[Prompt, Tensor], bank: ReferenceBank
) -> None:
    """Where it comes or goes, each velocity is computed whole."""
    settings = flow()
    branch = source(transformer, contexts, settings)
    results = {}
    for steps, whole in (((0.0, 1.0), 1), ((0.4, 1.0), 2), ((0.4, 0.8), 3)):
        use = ReferenceSettings(0.8, "joint", "2-4", "target", "before", steps)
        with count_blocks(transformer) as counts:
            results[steps] = edit_with_reference(transformer, contexts, branch, settings, bank, use)
        assert counts[-1] == 2 * whole
        alone = edit_with_reference(transformer, contexts, branch, settings, bank, use)
        assert torch.equal(alone, results[steps])
    plain = edit_latents(transformer, contexts, branch, settings)
    assert all((result - plain).abs().max() > 1e-3 for result in results.values())


def test_nothing_is_cached_after_the_edit(
    transformer: Any, contexts: dict[Prompt, Tensor], bank: ReferenceBank
) -> None:
    with pytest.raises(KeyError), step_cache(transformer, ALL):
        WanVelocity(transformer, {})(draw(*SHAPE, seed=0), 0.5, "source")
    edit(transformer, contexts, flow())
    assert not transformer.is_cache_enabled
    again = extract_bank(
        transformer, draw(1, 4, 1, 4, 6, seed=5), contexts["target"], [0.3],
        torch.ones(2, 3, dtype=torch.bool), generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert all(torch.equal(again.layers[i]["key"], bank.layers[i]["key"]) for i in bank.layers)


@pytest.mark.parametrize(
    ("changes", "equal"),
    [
        ({"offload": "block"}, True),
        ({"offload": "leaf"}, True),
        ({"storage_dtype": "float8_e4m3fn"}, False),
    ],
)
def test_other_options_go_with_it(
    contexts: dict[Prompt, Tensor], changes: dict[str, str], equal: bool
) -> None:
    plain, changed = (tiny_transformer() for _ in range(2))
    fit_transformer(changed, MemoryOptions("video_model", **changes), "cpu")  # type: ignore[arg-type]
    settings = flow(threshold=0.5)
    first, second = (edit(model, contexts, settings) for model in (plain, changed))
    assert torch.equal(first, second) == equal
    assert (first - second).norm() < 0.2 * first.norm()
    assert torch.equal(edit(changed, contexts, settings), second)
