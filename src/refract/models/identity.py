"""What a model reference stands for, as a string that changes with the weights.

Also whether an index of shards names nothing but files beside it, which a string cannot tell.
"""

import hashlib
import json
import os
import re
from pathlib import Path

from refract.base.errors import InputError, shorten
from refract.base.files import refuse_special_in
from refract.models.pinned_revisions import revision_of

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


def check_shards(folder: Path) -> None:
    """ValueError where an index in `folder` names anything but safetensors files beside it.

    A name with another suffix would be read as another format, and one with a slash from elsewhere.
    A folder that is not there has no index.
    """
    for path in sorted(folder.glob("*.index.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        names = document.get("weight_map", {}) if isinstance(document, dict) else {}
        for name in set(names.values()) if isinstance(names, dict) else ():
            if not isinstance(name, str) or Path(name).name != name or "\\" in name:
                raise ValueError(f"{path}: {shorten(name)}: must be the name of a file beside it")
            if path.name.endswith(".safetensors.index.json") and not name.endswith(".safetensors"):
                raise ValueError(f"{path}: {shorten(name)}: must be a .safetensors file")
