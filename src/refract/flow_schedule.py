"""Noise levels of an edit: a shifted linear schedule, entered part of the way down."""

from refract.errors import InputError


def edit_sigmas(steps: int, strength: float, shift: float) -> tuple[float, ...]:
    """K + 1 descending noise levels ending in 0, with K = round(steps * strength).

    The full schedule is sigma = shift * t / (1 + (shift - 1) * t) for t = 1, ..., 0 in `steps`
    equal steps (Esser et al., arXiv 2403.03206); an edit of strength < 1 leaves out its first
    part, so a little of the source's layout always survives.

    Args:
        steps: steps of the full schedule, >= 1.
        strength: share of the schedule that is run, in (0, 1].
        shift: > 0; above 1 spends more steps at high noise.
    """
    kept = round(steps * strength)
    if kept < 1:
        raise InputError(
            f"flowalign.strength = {strength:g} with flowalign.steps = {steps} leaves no step to "
            f"run: steps * strength must be at least 0.5"
        )
    times = [step / steps for step in range(kept, -1, -1)]
    return tuple(shift * t / (1 + (shift - 1) * t) for t in times)
