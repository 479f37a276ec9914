"""One line of the table of what was tried against the pipeline, and what came of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """tried: what was done. count: how often. outcome: what came of it, in one phrase.

    losses: how often something was lost, half-written, used though damaged, or let in; 0 or a
    defect.
    """

    tried: str
    count: int
    outcome: str
    losses: int
