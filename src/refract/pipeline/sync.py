"""Write each stage's code files and settings into dvc.yaml, so that nobody keeps them by hand.

`python -m refract.pipeline.sync` rewrites dvc.yaml, comments kept; `--check` only reports what is
stale; `--file backbones/dvc.yaml` takes the recipes of the micro models.
"""

import argparse
import importlib
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from refract.base.atomic import write_atomic
from refract.base.errors import InputError
from refract.params.section import leaf_keys
from refract.pipeline.import_closure import relative_closure
from refract.pipeline.profile import round_trip_yaml
from refract.pipeline.stage_runner import run_stage

_MODULE = re.compile(r"python -m (\S+)")
_CODE_FOLDERS = ("src/", "stages/", "backbones/")


def wanted_code(commands: str | Iterable[str]) -> list[str]:
    """Source files, relative to the repository root, of the modules that a stage's cmd runs."""
    lines = [commands] if isinstance(commands, str) else commands
    return relative_closure(*(name for line in lines for name in _MODULE.findall(line)))


def wanted_params(stage: str) -> list[str]:
    """Dotted params.yaml keys in the `StageParams` of a stage."""
    return sorted(leaf_keys(importlib.import_module(f"stages.{stage}").StageParams))


def is_code(dependency: str) -> bool:
    return dependency.endswith(".py") and dependency.startswith(_CODE_FOLDERS)


def synchronise(document: Any) -> list[str]:
    """Bring a loaded dvc.yaml up to date in place; returns the names of stages that changed."""
    changed = []
    for name, stage in document["stages"].items():
        code = [entry for entry in stage["deps"] if is_code(entry)]
        stale = _replace(stage["deps"], code, wanted_code(stage["cmd"]))
        if "params" in stage:
            keys = [entry for entry in stage["params"] if isinstance(entry, str)]
            stale |= _replace(stage["params"], keys, wanted_params(name))
        if stale:
            changed.append(name)
    return changed


def _replace(entries: Any, old: list[str], new: Iterable[str]) -> bool:
    """Exchange `old` for `new` at the head of a YAML list; other entries keep their comments."""
    if old == (new := list(new)):
        return False
    for entry in old:
        entries.remove(entry)
    for position, entry in enumerate(new):
        entries.insert(position, entry)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=Path("dvc.yaml"))
    parser.add_argument("--check", action="store_true", help="fail where dvc.yaml is stale")
    arguments = parser.parse_args()
    yaml = round_trip_yaml()
    document = yaml.load(arguments.file.read_text())
    changed = synchronise(document)
    if changed and arguments.check:
        raise InputError(f"{arguments.file}: stale stages {', '.join(changed)}; run `make sync`")
    if changed:
        text = io.StringIO()
        yaml.dump(document, text)
        write_atomic(arguments.file, lambda path: path.write_text(text.getvalue()))
    print(f"{arguments.file}: {', '.join(changed) or 'nothing'} changed")


if __name__ == "__main__":
    run_stage("dvc_sync", main)
