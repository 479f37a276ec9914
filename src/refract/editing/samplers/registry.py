"""The samplers by name: how each is called, and which settings of section flowalign it reads."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from refract.editing.samplers.flowalign import sample_flowalign
from refract.editing.samplers.flowedit import sample_flowedit
from refract.editing.samplers.sdedit import sample_sdedit
from refract.editing.samplers.source_branch import SourceGuidance

_EVERY = ("steps", "strength", "shift", "window")


@dataclass(frozen=True)
class Sampler:
    """One editing algorithm.

    sample: called with velocity, x_src and sigmas; by name with guidance, generator, ref_guidance
        and on_step; with source_velocity where it has a source branch; and with zeta and
        share_first_source where it reads `zeta`.
    source: how the velocity of its source branch is guided.
    reads: its settings beyond those of the source branch.
    """

    sample: Callable[..., Tensor]
    source: SourceGuidance
    reads: tuple[str, ...]

    @property
    def source_reads(self) -> tuple[str, ...]:
        """The settings that its source branch depends on."""
        if self.source == "none":
            return ()
        return _EVERY if self.source == "unguided" else (*_EVERY, *_GUIDED)

    @property
    def reads_negative(self) -> bool:
        """Whether it needs the embedding of the negative prompt."""
        return "negative_prompt" in (*self.source_reads, *self.reads)


_GUIDED = ("source_guidance", "negative_prompt")

# A new one is named in `refract.params.flowalign` too, which says what may be chosen.
SAMPLERS: dict[str, Sampler] = {
    "flowalign": Sampler(sample_flowalign, "unguided", ("guidance", "zeta", "region")),
    "flowedit": Sampler(sample_flowedit, "guided", ("guidance", "negative_prompt")),
    "sdedit": Sampler(sample_sdedit, "none", (*_EVERY, "guidance", "negative_prompt")),
}
