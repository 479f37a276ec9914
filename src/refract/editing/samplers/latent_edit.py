"""Edit the latents of a clip on its stored source branch, with any of the samplers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from refract.editing.samplers.edited_region import EditedRegion, edited_region
from refract.editing.samplers.flowalign import ZetaMap
from refract.editing.samplers.given_region import given_region
from refract.editing.samplers.layer_choice import chosen_layers
from refract.editing.samplers.registry import SAMPLERS, Sampler
from refract.editing.samplers.source_branch import SourceBranch, source_velocity_of
from refract.editing.samplers.velocity import Prompt, SourceVelocity
from refract.editing.samplers.wan_velocity import Listener, WanVelocity
from refract.editing.samplers.windows import Windowed, WindowedVelocity
from refract.models.step_cache import step_cache


@dataclass(frozen=True)
class RegionSettings:
    """Where a sampler with a region edits freely; see `edited_region`.

    tokens: prompt -> indices of the edited words' tokens. layers: as `ref_layers`.
    """

    tokens: Mapping[str, Sequence[int]]
    layers: str | tuple[int, ...]
    threshold: float
    zeta_outside: float


@dataclass(frozen=True)
class GivenRegion:
    """A region by the user's own mask (f, h, w) in 0..1, of latents; see `given_region`."""

    mask: Tensor
    zeta_outside: float | None


@dataclass(frozen=True)
class FlowSettings:
    """sigmas: K + 1 noise levels. guidance: w. zeta: pull to the source. seed: of every eps.

    source_guidance: classifier-free guidance of a guided source branch. cache_threshold: of
    `step_cache`; a region of words does not go with it, since a skipped layer shows nothing.
    windowed: how a clip longer than one window is divided; None for one pass over all of it.
    """

    sigmas: Sequence[float]
    guidance: float
    zeta: float
    seed: int
    sampler: str = "flowalign"
    source_guidance: float = 1.0
    region: RegionSettings | GivenRegion | None = None
    cache_threshold: float | None = None
    windowed: Windowed | None = None

    @property
    def algorithm(self) -> Sampler:
        return SAMPLERS[self.sampler]


def edit_latents(
    transformer: Any,
    contexts: Mapping[Prompt, Tensor],
    source: SourceBranch,
    settings: FlowSettings,
    *,
    listeners: Sequence[Listener] = (),
    ref_guidance: float | None = None,
    live_source: bool = False,
    share_first_source: bool = True,
    on_step: Callable[[int, float], None] | None = None,
) -> Tensor:
    """Edited latents (1, c, f, h, w); with only the positional arguments the plain edit.

    Args:
        listeners: told before each forward pass which velocity it is, and of which window.
        ref_guidance, share_first_source, on_step: see `sample_flowalign`.
        live_source: evaluate v_q afresh, where it too sees the reference, instead of replaying it.
    """
    with (
        _region_of(transformer, settings) as region,
        step_cache(transformer, settings.cache_threshold),
    ):
        heard = (*listeners, region.at) if region else listeners
        velocity = WindowedVelocity(WanVelocity(transformer, contexts, *heard), settings.windowed)
        options: dict[str, Any] = {
            "guidance": settings.guidance,
            "generator": torch.Generator().manual_seed(settings.seed),
            "ref_guidance": ref_guidance,
            "on_step": on_step,
        }
        if settings.algorithm.source != "none":
            options["source_velocity"] = _live(velocity, settings) if live_source else source.replay
        if "zeta" in settings.algorithm.reads:
            options["zeta"] = region.zeta if region else _zeta_of(settings, source.x_src)
            # A cache that missed the first step would take other steps than that of v_q, and equal
            # prompts would no longer leave the source untouched.
            no_cache = settings.cache_threshold is None
            options["share_first_source"] = share_first_source and no_cache
        return settings.algorithm.sample(velocity, source.x_src, settings.sigmas, **options)


def _live(velocity: WindowedVelocity, settings: FlowSettings) -> SourceVelocity:
    evaluate = source_velocity_of(velocity, settings.algorithm.source, settings.source_guidance)
    assert evaluate is not None, "asked for by samplers with a source branch alone"
    return lambda _step, q, sigma: evaluate(q, sigma)


def _zeta_of(settings: FlowSettings, x_src: Tensor) -> float | ZetaMap:
    region = settings.region
    if not isinstance(region, GivenRegion):
        return settings.zeta
    mask = region.mask.to(x_src)
    if mask.shape != x_src.shape[2:]:
        raise ValueError(f"a mask of {tuple(mask.shape)} for latents {tuple(x_src.shape)}")
    return given_region(mask, settings.zeta, region.zeta_outside)


@contextmanager
def _region_of(transformer: Any, settings: FlowSettings) -> Iterator[EditedRegion | None]:
    region = settings.region
    if not isinstance(region, RegionSettings) or "region" not in settings.algorithm.reads:
        yield None
        return
    layers = chosen_layers(region.layers, len(transformer.blocks), "flowalign.region.layers")
    with edited_region(
        transformer,
        region.tokens,
        layers=layers,
        threshold=region.threshold,
        zeta=settings.zeta,
        zeta_outside=region.zeta_outside,
    ) as recorded:
        yield recorded
