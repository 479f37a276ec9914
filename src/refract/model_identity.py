"""What a model reference stands for, as a string that changes with the weights."""

import hashlib
import os
import re
from pathlib import Path

from refract.errors import InputError, shorten
from refract.pinned_revisions import revision_of
from refract.regular_file import refuse_special_in

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def local_model_folder(path_or_id: str) -> Path | None:
    """The folder a model reference names, `~` and `$VARIABLES` expanded; None for a hub id.

    DVC's temporary workspaces lack ignored files, so large models are best named absolutely or as
    `$DVC_ROOT/...`. Raises InputError for what is neither a folder here nor shaped like a hub id,
    and for a folder with pipes or devices in it.
    """
    folder = Path(os.path.expandvars(path_or_id)).expanduser()
    if path_or_id and os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        refuse_special_in(folder)
        return folder
    # `backbones/typo` has the shape of a hub id, but its parent shows that a folder was meant.
    if _HUB_ID.fullmatch(path_or_id) and not os.path.isdir(folder.parent):
        return None
    raise InputError(
        f"model {shorten(path_or_id)}: no such folder; "
        "give a folder in diffusers layout or a hub id such as owner/name"
    )


def model_identity(path_or_id: str, revision: str | None) -> str:
    """`id@revision` for a hub model; for a folder a sha256 of its manifest, or of its file list.

    A folder without `manifest.json` is told apart by names, byte counts and modification times:
    reading tens of gigabytes at every start would cost more than a rare needless recomputation.
    """
    folder = local_model_folder(path_or_id)
    if folder is None:
        return f"{path_or_id}@{revision_of(path_or_id, revision)}"
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return "manifest:" + hashlib.sha256(manifest.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        facts = path.stat()
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return "files:" + digest.hexdigest()
