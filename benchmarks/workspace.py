"""A folder in which stages run with settings and data of their own."""

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

ROOT = Path(__file__).resolve().parents[1]
_STREET = ROOT / "data" / "street"


@dataclass(frozen=True)
class Workspace:
    """`folder` holds `params.yaml` and, after `prepare_street`, `triptychs`."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> "Workspace":
        """The repository's params.yaml with `changes` by section."""
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

    def run(self, stage: str, options: Mapping[str, Path], *, state: Path | None = None) -> None:
        """Run a stage; RuntimeError with the end of its messages where it failed.

        state: its item store, `$REFRACT_STATE`; by default one in the workspace.
        """
        command = [sys.executable, "-m", f"stages.{stage}", "--params", str(self.params)]
        for name, path in options.items():
            command += [f"--{name}", str(path)]
        environment = os.environ | {
            "REFRACT_STATE": str(state or self.folder / "state"),
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        }
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command!r} exited with {done.returncode}:\n{done.stderr[-2000:]}")

    def prepare_street(self, counts: Mapping[str, int]) -> None:
        """Triptychs of the first `counts` scenes of each split of data/street, by the stage."""
        _copy_scenes(_STREET, self.folder / "street", counts)
        self.run("prepare_triptychs", {"output": self.triptychs})


def street_settings(folder: Path, panel_px: int) -> dict[str, Any]:
    """What `prepare_triptychs` needs to read the scenes that `prepare_street` copies."""
    semantic = {"source": "provided", "model": None, "revision": None}
    return {
        "source": str(folder / "street"),
        "layout": "generic",
        "panel_px": panel_px,
        "semantic": semantic,
    }


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
