"""The index of weights in several files, which says by name where they lie."""

import json
from pathlib import Path

from refract.errors import shorten


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
