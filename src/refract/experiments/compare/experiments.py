"""What differs between two experiments: settings first, then code and data, then every metric."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from refract.base.errors import InputError
from refract.evaluation.measures.bootstrap import Resampling
from refract.experiments.compare.item_tables import HALVES, HalfName, read_items, wide
from refract.experiments.compare.paired import Difference, paired_differences
from refract.experiments.compare.revisions import Revision, changed_files, pipeline_inputs

Settings = dict[str, tuple[Any, Any]]  # dotted key -> (value of A, value of B), None where absent


@dataclass(frozen=True)
class Comparison:
    """Experiment B against A. `files`: inputs of the pipeline, other than settings, that differ."""

    a: Revision
    b: Revision
    settings: Settings
    files: list[str]
    halves: dict[HalfName, list[Difference]]


def compare(
    repo: Repo, a: Revision, b: Revision, halves: Sequence[HalfName], how: Resampling
) -> Comparison:
    """Compare the results of two revisions over their common items.

    A half of which neither has a table is left out.

    Raises InputError: no table at all, one that a single side has, or no common items.
    """
    settings = changed_settings(repo, a, b)
    files = changed_files(repo, a, b, pipeline_inputs(repo, settings=False))
    by_half = {half: compare_half(repo, a, b, half, how) for half in halves}
    present = {
        half: differences for half, differences in by_half.items() if differences is not None
    }
    if not present:
        wanted = " or ".join(HALVES[half].table for half in halves)
        raise InputError(f"neither {a} nor {b} has {wanted}; run the pipeline there (dvc repro)")
    return Comparison(a, b, settings, files, present)


def compare_half(
    repo: Repo, a: Revision, b: Revision, half: HalfName, how: Resampling
) -> list[Difference] | None:
    """The differences of one half; None where neither side has its table."""
    old, new = read_items(repo, a, half), read_items(repo, b, half)
    if old is None and new is None:
        return None
    layout = HALVES[half]
    for revision, items in ((a, old), (b, new)):
        if items is None:
            raise InputError(no_table(revision, half))
    assert old is not None and new is not None
    differences = paired_differences(wide(old, layout.result), wide(new, layout.result), how)
    if not differences:
        raise InputError(
            f"{a} and {b} have no item and metric of variant {layout.result!r} in common in "
            f"{layout.table}"
        )
    return differences


def no_table(revision: Revision, half: HalfName) -> str:
    """What to say of a revision without a half's table. DVC cannot tell missing from uncached."""
    return (
        f"{revision} has no {HALVES[half].table}, in git or in DVC's cache, or an empty one; "
        "`dvc pull`, or run the pipeline there"
    )


def changed_settings(repo: Repo, a: Revision, b: Revision) -> Settings:
    """Settings that differ, of every file that DVC reads settings from."""
    try:
        names = {"a_rev": a.sha or a.name, "b_rev": b.sha or b.name}
        difference = repo.params.diff(**names).get("diff", {}) if a.sha != b.sha else {}
    except DvcException as error:
        raise InputError(f"settings of {a} and {b} cannot be read: {error}") from error
    settings: Settings = {}
    for values in difference.values():
        settings |= {key: (value["old"], value["new"]) for key, value in values.items()}
    return dict(sorted(settings.items()))
