"""How a trained model becomes a folder of the repository: no origin, plain modes, a manifest."""

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

MANIFEST = "manifest.json"


def write_manifest(folder: Path) -> None:
    """manifest.json: the sha256 of every other file of `folder`, by relative path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    digests = {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files
    }
    (folder / MANIFEST).write_text(json.dumps({"sha256": digests}, indent=2) + "\n")


def forget_origin(folder: Path) -> None:
    """Take the folders the parts were loaded from out of their configs."""
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def publish(output: Path, write: Callable[[Path], None]) -> None:
    """`write` fills a folder of a temporary name; it replaces `output` once it is complete."""
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    forget_origin(partial)
    for path in partial.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors files come out private
    write_manifest(partial)
    shutil.rmtree(output, ignore_errors=True)
    os.replace(partial, output)
