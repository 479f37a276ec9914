"""A folder in which stages run on a frozen copy of the code, with settings and data of their own.

The copy keeps a benchmark whole while somebody edits the working tree: the item store's keys, and
with them the checkpoints that a killed training goes on from, change with the code.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refract.base.yaml_files import read_yaml
from refract.models.identity import local_model_folder

ROOT = Path(__file__).resolve().parents[1]
_STREET = ROOT / "data" / "street"
_CODE = ("src", "stages")


@dataclass(frozen=True)
class Workspace:
    """`folder` holds `code`, `params.yaml` and, after `prepare_street`, `triptychs`."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> "Workspace":
        """Copy the code, and the repository's params.yaml with `changes` by section."""
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for part in _CODE:
            shutil.copytree(ROOT / part, folder / "code" / part, ignore=ignored)
        params = read_yaml(ROOT / "params.yaml")
        for section, values in changes.items():
            params[section] |= values
        (folder / "params.yaml").write_text(json.dumps(params, indent=1))  # JSON is YAML too
        return cls(folder)

    @property
    def params(self) -> Path:
        return self.folder / "params.yaml"

    @property
    def triptychs(self) -> Path:
        return self.folder / "triptychs"

    def start(
        self, stage: str, options: Mapping[str, Path], *, state: Path, log: Path
    ) -> subprocess.Popen[bytes]:
        """Start a stage as the leader of its own process group; its messages go to `log`.

        state: its item store, `$REFRACT_STATE`.
        """
        command = [sys.executable, "-m", f"stages.{stage}", "--params", str(self.params)]
        for name, path in options.items():
            command += [f"--{name}", str(path)]
        code = self.folder / "code"
        environment = os.environ | {
            "REFRACT_STATE": str(state),
            "REFRACT_REFRESH": "0",
            "REFRACT_LOG": "INFO",  # progress is read from the messages
            "PYTHONPATH": f"{code / 'src'}{os.pathsep}{code}",
        }
        with log.open("wb") as messages:
            return subprocess.Popen(
                command,
                cwd=code,
                env=environment,
                stdout=messages,
                stderr=messages,
                start_new_session=True,
            )

    def prepare_street(self, counts: Mapping[str, int]) -> None:
        """Triptychs of the first `counts` scenes of each split of data/street, by the stage."""
        _copy_scenes(_STREET, self.folder / "street", counts)
        log = self.folder / "prepare_triptychs.log"
        process = self.start(
            "prepare_triptychs",
            {"output": self.triptychs},
            state=self.folder / "prepared_state",
            log=log,
        )
        require_success(process, log)


def street_settings(folder: Path, panel_px: int) -> dict[str, Any]:
    """What `prepare_triptychs` needs to read the scenes that `prepare_street` copies."""
    semantic = {"source": "provided", "model": None, "revision": None}
    return {
        "source": str(folder / "street"),
        "layout": "generic",
        "panel_px": panel_px,
        "semantic": semantic,
    }


def model_path(model: str) -> str:
    """A model folder as stages in a workspace find it; a hub id as it is."""
    folder = local_model_folder(model)
    return str(folder.resolve()) if folder else model


def require_success(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a stage's end; RuntimeError with the end of its messages where it failed."""
    code = process.wait()
    if code:
        raise RuntimeError(f"{process.args!r} exited with {code}:\n{log.read_text()[-2000:]}")


def _copy_scenes(source: Path, target: Path, counts: Mapping[str, int]) -> None:
    """The first scenes of each split, with their rows of metadata.csv.

    Raises:
        ValueError: a split that has fewer scenes.
    """
    with (source / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = []
    for split, count in counts.items():
        own = [row for row in rows if row["split"] == split]
        if len(own) < count:
            raise ValueError(f"{source}: {count} scenes of {split} wanted, it has {len(own)}")
        chosen += own[:count]
    stems = {Path(row["file_name"]).stem for row in chosen}
    for kind in ("visible", "infrared", "semantic"):
        (target / kind).mkdir(parents=True)
        for path in (source / kind).iterdir():
            if path.stem in stems:
                shutil.copy2(path, target / kind)
    with (target / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(chosen)
