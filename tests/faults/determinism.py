"""The same bytes: two clones, other surroundings, other numbers of threads."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from refract.media.video_io import read_clip
from tests.faults.row import Row

TITLE = "The same bytes"
ROOT = Path(__file__).parents[2]
_COPIED = ("src", "stages", "backbones", "tests", "profiles", "params.yaml")
_MODULE = "tests.faults.determinism_run"

# Another clone, and everything about it that ought not to count. Text is read as ASCII here unless
# the code says otherwise.
_ELSEWHERE = {
    "PYTHONHASHSEED": "1234", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "LANG": "C",
    "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "40", "HOME": "/nonexistent",
}  # fmt: skip
# What another number of threads may change; sums are of other order, and nothing else is.
MOST_LEVELS = 2  # of 255, of a pixel
MOST_RELATIVE = 0.01  # of a metric, to the larger of it and 1; one level moves it so on tiny clips
MOST_WEIGHT = 1e-4  # of a weight, a key or a value


def run(seed: int, long: bool) -> list[Row]:
    """The short part is two clones and the first three stages; the seed is that of the settings."""
    del seed
    stages = 6 if long else 3
    with TemporaryDirectory() as place:
        code = Path(place, "code")  # one state of it, whatever is edited meanwhile
        for name in _COPIED:
            _copy(ROOT / name, code / name)
        clones = Clones(code, Path(place), stages)
        first = clones.outputs("a", {})
        other = clones.outputs("elsewhere/b b", _ELSEWHERE, umask=0o077)
        rows = [_same(f"two clones, {stages} stages, all around them different", first, other)]
        if long:
            rows.append(_same("once more in the same clone", first, clones.outputs("a", {})))
            threads = {"REFRACT_THREADS": "2", "OMP_NUM_THREADS": "2"}
            rows += _bounded(first, clones.outputs("c", threads))
    return rows


Outputs = Mapping[str, Path]  # by name below the outputs' folder


class Clones(NamedTuple):
    """Copies of `code` below `place`, in which the first stages are run."""

    code: Path
    place: Path
    stages: int

    def outputs(self, name: str, environment: Mapping[str, str], umask: int = 0o022) -> Outputs:
        """All files that the stages leave in the clone `name`, set aside."""
        clone = self.place / name
        if not clone.exists():
            shutil.copytree(self.code, clone)
        shutil.rmtree(clone / "run", ignore_errors=True)
        own = {
            "PYTHONPATH": f"{clone}{os.pathsep}{clone / 'src'}", "REFRACT_THREADS": "1",
            "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(clone / "hub"),
            "PYTHONHASHSEED": "0",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", _MODULE, str(self.stages)],
            cwd=clone, env={**os.environ, **own, **environment}, umask=umask, capture_output=True,
        )  # fmt: skip
        if done.returncode != 0:
            told = done.stderr.decode(errors="replace")[-3000:]
            raise RuntimeError(f"{_MODULE} in {clone}:\n{told}")
        kept = self.place / f"kept {len(list(self.place.glob('kept *')))}"
        shutil.copytree(clone / "run" / "out", kept)
        return {path.relative_to(kept).as_posix(): path for path in _files(kept)}


def _copy(source: Path, target: Path) -> None:
    """The code without what lies about: models, runs, caches."""
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        return
    kept = (".py", ".pyi", ".html", ".j2", ".css", ".js", ".yaml", ".json", ".txt")

    def dropped(folder: str, names: list[str]) -> list[str]:
        here = Path(folder)
        return [n for n in names if not (here / n).is_dir() and not n.endswith(kept)] + [
            n for n in names if n in ("__pycache__", "runs")
        ]

    shutil.copytree(source, target, ignore=dropped)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _same(tried: str, first: Outputs, second: Outputs) -> Row:
    """A loss is a file that only one of them has, or that differs by a byte."""
    different = sorted(first.keys() ^ second.keys())
    both = first.keys() & second.keys()
    different += sorted(name for name in both if _digest(first[name]) != _digest(second[name]))
    told = f"different: {', '.join(different[:5])}" if different else "byte for byte equal"
    return Row(f"{tried} ({len(first)} files)", 2, told, len(different))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bounded(first: Outputs, second: Outputs) -> list[Row]:
    """What differs between 1 and 2 threads, by kind of file, within its bound."""
    # the report's media are named by their content
    missing = [name for name in first.keys() ^ second.keys() if not name.startswith("report/media")]
    equal = sum(_digest(first[n]) == _digest(second[n]) for n in first.keys() & second.keys())
    rows = [Row("1 thread and 2: files", len(first), f"{equal} byte for byte equal", len(missing))]
    kinds = (
        ("pixels of pictures and lossless clips, levels of 255", (".png", ".mkv"), MOST_LEVELS),
        ("metrics, relative", (".json",), MOST_RELATIVE),
        ("weights, keys and values", (".safetensors",), MOST_WEIGHT),
    )
    for told, endings, most in kinds:
        names = [n for n in first.keys() & second.keys() if n.endswith(endings)]
        if endings == (".json",):
            names = [n for n in names if n.startswith("metrics")]
        elif ".png" in endings:  # drawn from the metrics, with their text
            names = [n for n in names if not n.startswith(("plots", "report"))]
        found = max(difference(first[n], second[n]) for n in names)
        outcome = f"at most {found:.2g} apart (bound {most:g})"
        rows.append(Row(f"1 thread and 2: {told}", len(names), outcome, int(found > most)))
    return rows


def difference(one: Path, other: Path) -> float:
    """The largest difference of two files of one kind; infinite where their shapes differ."""
    if one.suffix == ".png":
        return _apart(np.asarray(Image.open(one), float), np.asarray(Image.open(other), float))
    if one.suffix == ".mkv":
        return _apart(read_clip(one).frames.astype(float), read_clip(other).frames.astype(float))
    if one.suffix == ".safetensors":
        first, second = load_file(one), load_file(other)
        if first.keys() != second.keys():
            return float("inf")
        return max(_apart(value, second[name]) for name, value in first.items())
    return _relative(json.loads(one.read_text()), json.loads(other.read_text()))


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(np.float64) - other).max(initial=0.0))


def _relative(one: object, other: object) -> float:
    """Of two trees of numbers and texts, which must be of one form."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((_relative(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) / max(1.0, abs(one), abs(other))
    return 0.0 if one == other else float("inf")
