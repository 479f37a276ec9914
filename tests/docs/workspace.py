"""A copy of the repository for printed commands: what a stage would compute is there already.

Code, settings, Makefile and DVC are the real ones. `python -m stages.<name>` is a stand-in that
copies finished outputs, and nothing is installed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from refract.evaluation.votes.study_key import write_key
from tests.docs.markdown import ROOT
from tests.evaluation.test_votes import KEY, ROW, write_csv
from tests.tiny.outputs import write_outputs
from tests.tiny.study import write_edits

_FILES = (
    "Makefile", "pyproject.toml", "params.yaml", "ablations.yaml", "dvc.yaml", ".dvcignore",
    ".gitignore", "src", "stages", "profiles", "metrics", ".dvc/config", ".dvc/.gitignore",
)  # fmt: skip
_OUTPUTS = ("triptychs", "ir_adapter", "infrared", "ref_banks", "edits", "plots", "report")
_PYTHON = """#!/bin/bash
[[ "$2" == stages.* ]] || exec {python} "$@"
while (( $# )); do
  case "$1" in
    --output | --plots | --metrics | --report) mkdir -p "$2" && cp -r "{finished}/$2/." "$2" ;;
  esac
  shift
done
"""


class Workspace:
    """`folder` is a git and DVC repository with its own cache, and an environment in `.venv`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in _FILES:
            _copy(ROOT / name, folder / name)
        for name in ("street", "products", "votes"):
            _write(folder / "data" / name / "README.md", name)
        for name in ("flux-fill", "wan", "clip"):
            _write(folder / "backbones" / f"{name}-micro" / "manifest.json", name)
        write_csv(folder / "data/votes/a.csv", ROW)
        write_key(folder / "data/votes/key.json", KEY)
        self._finish(folder.parent / "finished")
        self._install(folder.parent / "finished")
        self.run("git init -q && git add -A")
        self.commit()

    def run(self, command: str) -> None:
        """AssertionError with what it said where a command line does not end well."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment(),
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, (
            f"{command}: exit code {done.returncode}\n{done.stderr[-3000:]}"
        )

    def commit(self) -> None:
        """All that is not ignored, with the settings as they are printed in the repository."""
        _copy(ROOT / "params.yaml", self.folder / "params.yaml")
        who = "-c user.name=nobody -c user.email=nobody@example.org"
        self.run(f"git add -A && git {who} commit -q --allow-empty -m all")

    def _finish(self, finished: Path) -> None:
        for name in _OUTPUTS:
            _write(finished / "out" / name / "made", name)
        shutil.copytree(ROOT / "metrics", finished / "metrics")
        shutil.copytree(
            write_outputs(finished / "tiny")["plots"], finished / "out/plots", dirs_exist_ok=True
        )
        cases = write_edits(finished / "out", ["mug", "cup"])
        text = json.dumps({"cases": {name: case.model_dump() for name, case in cases.items()}})
        _write(self.folder / "data/cases.yaml", text)  # JSON is YAML

    def _install(self, finished: Path) -> None:
        programs = self.folder / ".venv/bin"
        _write(programs / "activate", "")
        _write(programs / "python", _PYTHON.format(python=sys.executable, finished=finished))
        _write(programs / "dvc", f'#!/bin/bash\nexec {sys.executable} -m dvc "$@"\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        _write(self.folder / ".venv/.installed", "")

    def _environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("REFRACT_")}
        kept.pop("DVC_ROOT", None)
        return kept | {
            "PATH": os.pathsep.join([str(self.folder / ".venv/bin"), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(self.folder / "src"), str(self.folder)]),
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site"),
            "DVC_NO_ANALYTICS": "1",
        }


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copyfile(source, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
