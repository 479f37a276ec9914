"""First-block caching over the steps of a sampler, as diffusers has it: fewer blocks, other bytes.

    with step_cache(transformer, threshold):
        for ...:                                   # steps
            with cached_pass(transformer, "name"):
                transformer(...)

The first block is computed in every pass. Where its residual differs by less than `threshold`
(mean of absolute values, relative) from that of the last whole pass of the same name, the other
blocks are skipped and what they added then is added again.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any


@contextmanager
def step_cache(transformer: Any, threshold: float | None) -> Iterator[None]:
    """Cache the passes inside the `with` block; with None nothing is cached.

    It begins and ends empty, so that no result depends on what was made before it.
    """
    if threshold is None:
        yield
        return
    from diffusers.hooks import FirstBlockCacheConfig

    transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))
    try:
        yield
    finally:
        transformer.disable_cache()


def cached_pass(transformer: Any, name: str) -> AbstractContextManager[None]:
    """The context of a forward pass: passes of other names have a cache of their own.

    Does nothing outside `step_cache`.
    """
    if not getattr(transformer, "is_cache_enabled", False):
        return nullcontext()
    context: AbstractContextManager[None] = transformer.cache_context(name)
    return context


def forget_steps(transformer: Any) -> None:
    """Empty the cache, if there is one: the next pass of every name is computed whole."""
    if getattr(transformer, "is_cache_enabled", False):
        from diffusers.hooks import HookRegistry

        HookRegistry.check_if_exists_or_initialize(transformer).reset_stateful_hooks()
