"""The points of a sweep as DVC experiments: their names and what stands behind a name.

A name ends in a digest of the commit, of the uncommitted changes to the pipeline's inputs and of
the point's settings. So a finished experiment of that name is the result asked for.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from refract.base.errors import InputError, shorten
from refract.base.yaml_files import read_yaml
from refract.experiments.ablation.grids import Grid, with_dotted_keys
from refract.experiments.compare.revisions import changed_files, find_revision, git, pipeline_inputs
from refract.params.section import Items, Section

_DIGEST = 8  # hexadecimal digits of the digest in a name


class Origin(Section):
    """What experiments start from: a commit, and the changes to the pipeline's inputs since."""

    commit: str
    changed: Items[str]
    digest: str

    def __str__(self) -> str:
        if not self.changed:
            return f"commit {self.commit[:7]}"
        return f"commit {self.commit[:7]} with uncommitted changes of {', '.join(self.changed)}"


class Point(Section):
    """One point, with one seed where the sweep has several, as an experiment.

    as_present: it equals params.yaml but for seed and common settings. error: why it has no result;
    empty where it has one or nothing is known yet.
    """

    label: str
    overrides: dict[str, Any]
    experiment: str
    as_present: bool
    reused: bool = False
    error: str = ""
    seed: int | None = None

    def __str__(self) -> str:
        return self.label if self.seed is None else f"{self.label}, seed {self.seed}"


def find_origin(repo: Repo) -> Origin:
    """The present state of the pipeline's inputs.

    Raises InputError: an input that git does not know, which DVC would not take along.
    """
    inputs = pipeline_inputs(repo)
    code = "src"  # also what decides no result, so that DVC does not watch it: it is imported
    unknown = git(repo, "ls-files", "--others", "--exclude-standard", "-z", "--", *inputs, code)
    if unknown:
        first, *rest = unknown.decode().rstrip("\0").split("\0")
        more = f" (and {len(rest)} more)" if rest else ""
        raise InputError(
            f"{first}{more}: git does not track it, so an experiment would run without it; "
            f"`git add {first}`"
        )
    head = find_revision(repo, "HEAD")
    assert head.sha is not None
    changed = changed_files(repo, head, find_revision(repo, "workspace"), inputs)
    difference = git(repo, "diff", "--binary", "HEAD", "--", *inputs)
    digest = hashlib.sha256(difference).hexdigest()
    return Origin(commit=head.sha, changed=tuple(changed), digest=digest)


def make_points(name: str, grid: Grid, origin: Origin, params_path: Path) -> list[Point]:
    """Every point of a grid, in its order."""
    params = read_yaml(params_path)
    points = []
    for label, seed in grid.runs:
        overrides = grid.overrides(label, seed)
        identity = json.dumps([origin.commit, origin.digest, overrides], sort_keys=True)
        digest = hashlib.sha256(identity.encode()).hexdigest()[:_DIGEST]
        # git allows no ".." and "." last
        slug = re.sub(r"[^A-Za-z0-9_.+=-]|\.(?=\.|$)", "_", label)
        points.append(
            Point(
                label=label,
                overrides=overrides,
                experiment=f"{name}-{slug}-{'' if seed is None else f's{seed}-'}{digest}",
                as_present=with_dotted_keys(params, grid.points[label]) == params,
                seed=seed,
            )
        )
    return points


def hydra_override(key: str, value: object) -> str:
    """`key=value` in the grammar of `dvc exp run -S` (Hydra's), whatever the value looks like."""
    return f"{key}={_hydra_value(value)}"


def _hydra_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{','.join(_hydra_value(item) for item in value)}]"
    if not isinstance(value, str):
        raise InputError(f"{shorten(value)}: no value that a setting can have")
    # Within quotes only a quote is escaped, and the backslashes right before one.
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), value)
    return f"'{escaped}'"
