"""What exactly was run: digests of inputs and outputs, and what the stages say of their models."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refract.base.files import INFO_NAME, flatten, read_object
from refract.pipeline.item_store import hash_file


@dataclass(frozen=True)
class Digest:
    """label: where it lies, below the folder the page names; files: how many it is over."""

    label: str
    files: int
    octets: int
    sha256: str


def file_digest(label: str, path: Path) -> Digest:
    """sha256 of a file's bytes."""
    return Digest(label, 1, path.stat().st_size, hash_file(path))


def folder_digest(label: str, folder: Path) -> Digest:
    """sha256 over the sorted lines `<sha256>  <path in the folder>`, as sha256sum prints them."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = sorted((path.relative_to(folder).as_posix(), path) for path in paths)
    parts = [file_digest(name, path) for name, path in names]
    lines = "".join(f"{part.sha256}  {part.label}\n" for part in parts)
    sha256 = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    return Digest(label, len(parts), sum(part.octets for part in parts), sha256)


def digests(named: dict[str, Path]) -> list[Digest]:
    """Of a file its own, of a folder one for each entry; what is absent is left out."""
    digests_found = []
    for label, path in named.items():
        if path.is_file():
            digests_found.append(file_digest(label, path))
        elif path.is_dir():
            for part in sorted(path.iterdir()):
                make = folder_digest if part.is_dir() else file_digest
                digests_found.append(make(f"{label}/{part.name}", part))
    return digests_found


def stage_facts(folders: dict[str, Path]) -> dict[str, list[tuple[str, Any]]]:
    """Label -> (dotted key, value) of each folder's info.json, but for its facts a case."""
    facts = {}
    for label, folder in folders.items():
        info = {k: v for k, v in read_object(folder / INFO_NAME).items() if k != "cases"}
        if info:
            facts[label] = [(key, value) for key, value in flatten(info) if value is not None]
    return facts
