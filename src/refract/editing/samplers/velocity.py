"""What a sampler sees of a model: its velocity under each prompt; how guidance combines them."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

# `reference` is the target prompt seen together with the reference, where that is a velocity of
# its own; `negative` is what classifier-free guidance leads away from.
Prompt = Literal["source", "target", "negative", "reference"]
# Which velocity a forward pass is: `source` at the noised source q; at the edited point p `edited`
# under the source or negative prompt, `target` under the target prompt, and `reference` under the
# target prompt once more, where that is the pass that sees the reference.
Branch = Literal["source", "edited", "target", "reference"]
Velocity = Callable[[Tensor, float, Prompt], Tensor]
# (step, q, sigma) -> velocity of the noised source, which may be recorded or replayed
SourceVelocity = Callable[[int, Tensor, float], Tensor]


def guided_velocity(
    velocity: Velocity,
    x: Tensor,
    sigma: float,
    base: Tensor,
    guidance: float,
    ref_guidance: float | None = None,
) -> Tensor:
    """Velocity at x, led from `base` towards the target prompt and on towards the reference.

        v = base + w (v(x, target) - base) + w_ref (v(x, reference) - v(x, target))

    Args:
        base: v(x, source) or v(x, negative).
        guidance: w; 0 gives `base`, 1 the target prompt, above 1 overshoots.
        ref_guidance: w_ref; None leaves out its term and its evaluation.
    """
    v_target = velocity(x, sigma, "target")
    v = base + guidance * (v_target - base)
    if ref_guidance is None:
        return v
    return v + ref_guidance * (velocity(x, sigma, "reference") - v_target)
