"""Apply a profile overlay to params.yaml, keeping its comments and layout.

`python -m refract.pipeline.profile full` writes the values of profiles/full.yaml into params.yaml.
"""

import argparse
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from refract.base.atomic import write_atomic
from refract.base.errors import InputError
from refract.base.yaml_files import read_yaml
from refract.pipeline.stage_runner import run_stage


def apply_profile(params_path: Path, overlay_path: Path) -> int:
    """Write the overlay's values into params.yaml; returns how many changed.

    Raises InputError for an overlay key that params.yaml lacks: an overlay changes, never adds.
    """
    yaml = round_trip_yaml()
    read_yaml(params_path)  # for their errors; the round trip trusts the files
    read_yaml(overlay_path)
    document = yaml.load(params_path.read_text(encoding="utf-8"))
    overlay = yaml.load(overlay_path.read_text(encoding="utf-8"))
    changed = _overlay(document, overlay, str(overlay_path))
    if changed:
        text = io.StringIO()
        yaml.dump(document, text)
        write_atomic(params_path, lambda path: path.write_text(text.getvalue(), encoding="utf-8"))
    return changed


def round_trip_yaml() -> YAML:
    """A ruamel reader and writer that keeps comments, quotes, number formats and long lines."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _represent_null)
    return yaml


def _represent_null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _overlay(target: Any, changes: Mapping[str, Any], where: str, prefix: str = "") -> int:
    changed = 0
    for key, value in changes.items():
        name = f"{prefix}{key}"
        if key not in target:
            raise InputError(f"{where}: {name}: params.yaml has no such key")
        if isinstance(value, Mapping) != isinstance(target[key], Mapping):
            raise InputError(f"{where}: {name}: one is a section, the other a value")
        if isinstance(value, Mapping):
            changed += _overlay(target[key], value, where, f"{name}.")
        elif target[key] != value:
            _set(target, key, value)
            changed += 1
    return changed


def _set(target: Any, key: str, value: Any) -> None:
    if isinstance(value, list):
        target[key][:] = value  # in place: the list keeps its flow style and comments
    else:
        target[key] = value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="name of a file in profiles/, such as micro or full")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--profiles", type=Path, default=Path("profiles"))
    arguments = parser.parse_args()
    overlay = arguments.profiles / f"{arguments.profile}.yaml"
    if not overlay.is_file():
        known = sorted(path.stem for path in arguments.profiles.glob("*.yaml"))
        raise InputError(f"profile {arguments.profile!r}: allowed are {', '.join(known)}")
    changed = apply_profile(arguments.params, overlay)
    print(f"{arguments.params}: {changed} values changed to profile {arguments.profile}")


if __name__ == "__main__":
    run_stage("profiles", main)
