"""The real pipeline as a DVC repository of its own: our code and dvc.yaml, tiny models and data."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from refract.base.atomic import TEMPORARY_PREFIX
from refract.pipeline.item_store import find_damage, hash_file
from refract.pipeline.store import find_slots
from tests.tiny.world import CASE, ROOT, STAGES, World, write_world

__all__ = ["STAGES", "TinyPipeline"]

_CODE = ("src", "stages", "dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore")
_MODELS = {"fill": "flux-fill-micro", "wan": "wan-micro", "clip": "clip-micro"}  # as in dvc.yaml
_MARK = "REFRACT_FAULTS_RUN"  # in the environment of everything that a pipeline starts
_SETTINGS = {
    "infrared_model.path": "backbones/flux-fill-micro",
    "video_model.path": "backbones/wan-micro",
    "evaluate.clip_model": "backbones/clip-micro",
    "prepare_triptychs.source": "data/scenes",
    "ir_adapter.steps": 4,
    "ir_adapter.checkpoint_every": 1,
}
_SETTLE_S = 10.0  # for what is left of a killed run to end


class TinyPipeline:
    """`folder` is a git and DVC repository; the item store and all of DVC's files are in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mark = uuid4().hex

    @classmethod
    def create(cls, folder: Path) -> "TinyPipeline":
        """Write, initialise and commit it; no stage has been run yet."""
        folder.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for name in _CODE:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignored)
            else:
                shutil.copyfile(source, target)
        _lay_out(write_world(folder))
        _git(folder, "init", "-q")
        _git(folder, "config", "user.name", "nobody")
        _git(folder, "config", "user.email", "nobody@example.org")
        pipeline = cls(folder)
        pipeline.commit()
        return pipeline

    def commit(self) -> None:
        """Everything to git that is not ignored: code and settings, later dvc.lock and metrics."""
        _git(self.folder, "add", "-A")
        _git(self.folder, "commit", "-q", "-m", "tiny")

    def copy_to(self, folder: Path) -> "TinyPipeline":
        """The same with outputs, store and DVC's cache as they are."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return TinyPipeline(folder)

    @property
    def state(self) -> Path:
        return self.folder / ".state"

    @property
    def log(self) -> Path:
        """What the last started command has said."""
        return self.folder / ".state" / "log.txt"

    def start(self, *arguments: str, log: Path | None = None) -> "subprocess.Popen[bytes]":
        """`dvc <arguments>` as the leader of a process group of its own."""
        self.log.parent.mkdir(exist_ok=True)
        with (log or self.log).open("wb") as messages:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", *arguments],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                start_new_session=True,
            )

    def dvc(self, *arguments: str) -> None:
        """Run `dvc <arguments>` to its end; RuntimeError with its last words where it fails."""
        if self.start(*arguments).wait():
            raise RuntimeError(f"dvc {' '.join(arguments)}: {self.log.read_text()[-3000:]}")

    def processes(self) -> list[psutil.Process]:
        """Everything alive that this pipeline has started, whoever its parent is now."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def running_stage(self) -> tuple[str, psutil.Process] | None:
        """The stage that DVC is running, and its process."""
        for process in self.processes():
            if (stage := _stage_of(process)) is not None:
                return stage, process
        return None

    def orphans(self, *, patience: float = _SETTLE_S) -> list[str]:
        """What is still alive some seconds after a run was killed or ended; it is then ended."""
        deadline = time.monotonic() + patience
        while (alive := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        names = []
        for process in alive:
            try:
                names.append(" ".join(process.cmdline()))
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        return names

    def outputs(self) -> dict[str, str]:
        """sha256 of every file of out/ and metrics/ and of dvc.lock, by its path."""
        files = [self.folder / "dvc.lock"]
        for part in ("out", "metrics"):
            files += [path for path in (self.folder / part).rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): hash_file(path) for path in sorted(files)}

    def left_overs(self) -> list[str]:
        """Temporary files among the outputs, damaged slots of the store, and git's lock."""
        found = [path for path in self._below("out", "metrics") if TEMPORARY_PREFIX in path.name]
        found += [
            slot.path for slot in find_slots(self.state) if find_damage(slot.path, contents=True)
        ]
        found += [path for path in [self.folder / ".git" / "index.lock"] if path.exists()]
        return [path.relative_to(self.folder).as_posix() for path in found]

    def _below(self, *parts: str) -> Iterator[Path]:
        for part in parts:
            yield from (self.folder / part).rglob("*")

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and process.environ().get(_MARK) == self._mark
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _environment(self) -> dict[str, str]:
        """Nothing is shared with another repository, and sums do not depend on the machine."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("REFRACT_")}
        kept.pop("DVC_ROOT", None)
        code = [str(self.folder / "src"), str(self.folder)]
        return kept | {
            _MARK: self._mark,
            "REFRACT_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(code),
            # The commands of dvc.yaml say `python`: this one, whether its folder is in PATH or not.
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
            "PYTHONUNBUFFERED": "1",
            "DVC_SITE_CACHE_DIR": str(self.folder / ".dvc" / "tmp" / "site"),
            "DVC_NO_ANALYTICS": "1",
        }


def _stage_of(process: psutil.Process) -> str | None:
    """`infer_ir` of `python -m stages.infer_ir ...`; not of the shell that becomes it."""
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return None
    names = [part.removeprefix("stages.") for part in command if part.startswith("stages.")]
    return names[0] if names else None


def _lay_out(world: World) -> None:
    """Move models and data of a world to where dvc.yaml has them."""
    for name, folder in _MODELS.items():
        target = world.path("backbones") / folder
        target.parent.mkdir(exist_ok=True)
        world.path(name).rename(target)
        (target / "manifest.json").write_text(json.dumps({"tiny": name}))
    for name in ("scenes", "products"):
        world.path("data").mkdir(exist_ok=True)
        world.path(name).rename(world.path("data") / name)
    (world.path("data") / "votes").mkdir()
    (world.path("data") / "votes" / "README.md").write_text("No votes.\n")
    case = world.read("cases.yaml")["cases"][CASE]
    moved = {key: _moved(value) for key, value in case.items()}
    world.put("data/cases.yaml", json.dumps({"cases": {CASE: moved}}, indent=1))
    world.remove("cases.yaml")
    for key, value in _SETTINGS.items():
        world.set(key, json.dumps(value))
    world.put("params.yaml", world.block_text())  # what `dvc exp run -S` can write back


def _moved(value: Any) -> Any:
    return f"data/{value}" if isinstance(value, str) and value.startswith("products/") else value


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)
