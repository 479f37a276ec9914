"""Where an experiment's files are read from: an experiment, a git revision or the workspace.

What DVC tracks is read through its file system of that revision, so nothing is checked out.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dvc.api import DVCFileSystem
from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import resolve_rev

from refract.base.errors import InputError

WORKSPACE = "workspace"
PIPELINE = "dvc.yaml"


@dataclass(frozen=True)
class Revision:
    """`name` as the user gave it; `sha` is None for the workspace."""

    name: str
    sha: str | None

    def __str__(self) -> str:
        return self.name if self.sha in (None, self.name) else f"{self.name} ({self.sha[:7]})"


@contextmanager
def open_repository(root: Path) -> Iterator[Repo]:
    """The DVC repository of `root`; InputError where there is none."""
    try:
        repo = Repo(str(root))
    except DvcException as error:
        raise InputError(f"{root.resolve()}: no DVC repository ({error})") from error
    with repo:
        yield repo


def find_revision(repo: Repo, name: str) -> Revision:
    """The revision of an experiment name, anything git resolves, or `workspace`.

    Raises InputError: neither, or a name that several experiments bear.
    """
    if name == WORKSPACE:
        return Revision(name, None)
    try:
        if not name:  # which would be HEAD
            raise DvcException("empty name")
        return Revision(name, resolve_rev(repo.scm, name))
    except (DvcException, ValueError) as error:  # ValueError: no text, as a name with a null byte
        raise InputError(
            f"{name!r}: {error}; allowed are {WORKSPACE}, a git revision or an experiment's name "
            "(see `dvc exp list --all-commits`)"
        ) from error


def read_file(repo: Repo, revision: Revision, path: str) -> bytes | None:
    """The content of `path`, relative to the repository; None where that revision has no such file.

    Raises InputError: the revision has it, but its content is in no cache or remote.
    """
    if revision.sha is None:
        file = Path(repo.root_dir, path)
        return file.read_bytes() if file.is_file() else None
    files = DVCFileSystem(url=repo.root_dir, rev=revision.sha)
    if not files.exists(path):
        return None
    try:
        return bytes(files.read_bytes(path))
    except (DvcException, OSError) as error:
        raise InputError(
            f"{path} of {revision}: not in DVC's cache; `dvc pull`, or remove the experiment "
            "(`dvc exp remove`) and run it again"
        ) from error


def pipeline_inputs(repo: Repo, *, settings: bool = True) -> list[str]:
    """What the root pipeline's stages are made from: dvc.yaml and every dependency, relative.

    settings: with the files that settings are read from.
    """
    root = Path(repo.root_dir)
    stages = [stage for stage in repo.index.stages if stage.path_in_repo == PIPELINE]
    paths = {
        Path(dependency.fs_path)
        for stage in stages
        for dependency in stage.deps
        if settings or not isinstance(dependency, ParamsDependency)
    }
    inside = (path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root))
    return sorted({PIPELINE, *inside})


def git(repo: Repo, *arguments: str) -> bytes:
    """The output of a git command in the repository.

    Raises InputError: git refuses; the line is git's own.
    """
    command = ["git", "-C", repo.root_dir, *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise InputError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def changed_files(repo: Repo, old: Revision, new: Revision, paths: Sequence[str]) -> list[str]:
    """Those of `paths` (files, or files below these folders) whose content differs."""
    if old.sha is None and new.sha is None:
        return []
    revisions = [revision.sha for revision in (old, new) if revision.sha is not None]
    return (
        git(repo, "diff", "--name-only", "-z", *revisions, "--", *paths).decode().split("\0")[:-1]
    )
