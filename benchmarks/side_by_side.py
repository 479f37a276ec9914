"""Two runs at once on the cores of one machine, against one alone, by how their threads wait.

python -m benchmarks.side_by_side training
python -m benchmarks.side_by_side edits

The real stages, a training of a few steps on eight triptychs or one edit with its bank, in
processes that have their imports behind them. Each round has every way once, alone and by twos.
"""

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from statistics import mean, median

from benchmarks.tables import describe_machine, markdown_table
from benchmarks.workspace import ROOT, Workspace, street_settings

_CHOICES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "REFRACT_THREADS")
# GOMP_SPINCOUNT is libgomp's own default here: set, it keeps `share_cores` from doing anything.
_WAYS: dict[str, dict[str, str]] = {
    "spinning": {"GOMP_SPINCOUNT": "300000"},
    "asleep": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"REFRACT_THREADS": "1"},
    "by company": {},
}
_PRODUCT = ROOT / "data" / "products" / "red-mug-to-dotted-blue"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", choices=("training", "edits"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=30, help="of a training")
    parser.add_argument("--ways", nargs="+", choices=list(_WAYS), default=list(_WAYS))
    parser.add_argument("--run-in", type=Path, help=argparse.SUPPRESS)  # a process of this one
    options = parser.parse_args()
    if options.run_in:
        _run(options.work, options.run_in)
        return
    with tempfile.TemporaryDirectory(prefix="refract-benchmark-") as folder:
        workspace = _workspace(Path(folder), options)
        seconds: dict[tuple[str, int], list[float]] = {}
        for number in range(options.rounds):
            for way in options.ways:
                for count in (1, 2):
                    shared = Path(folder, f"{number}-{way}-{count}")
                    times = _times(options.work, workspace, shared, way, count)
                    print(way, count, times, file=sys.stderr, flush=True)
                    seconds.setdefault((way, count), []).append(mean(times))
    print(f"{options.work}: {describe_machine('cpu', 'float32')}; {options.rounds} rounds\n")
    print(markdown_table(*table(seconds)))


def table(
    seconds: dict[tuple[str, int], list[float]],
) -> tuple[list[str], list[list[object]]]:
    """Header and rows; `seconds` by way and number of runs at once, ratios to the first way."""
    header = ["threads wait", "alone, s", "two at once, s each", "alone, x", "two at once, x"]
    base = seconds[next(iter(seconds))]
    rows: list[list[object]] = []
    for way in dict.fromkeys(way for way, _ in seconds):
        alone, two = seconds[way, 1], seconds[way, 2]
        ratios = [median(a / b for a, b in zip(x, base, strict=True)) for x in (alone, two)]
        rows.append([way, median(alone), median(two), *ratios])
    return header, rows


def _workspace(folder: Path, options: argparse.Namespace) -> Workspace:
    changes = {
        "prepare_triptychs": street_settings(folder, 128),
        "infrared_model": {"path": str(ROOT / "backbones" / "flux-fill-micro")},
        "video_model": {"path": str(ROOT / "backbones" / "wan-micro")},
        "ir_adapter": {"steps": options.steps},
    }
    workspace = Workspace.create(folder, changes)
    workspace.prepare_street({"train": 8, "val": 1, "test": 1})
    return workspace


def _times(work: str, workspace: Workspace, shared: Path, way: str, count: int) -> list[float]:
    """Seconds of `count` runs at once, which see each other in the state folder `shared`."""
    free = {name: value for name, value in os.environ.items() if name not in _CHOICES}
    command = [sys.executable, "-m", "benchmarks.side_by_side", work]
    command += ["--run-in", str(workspace.folder)]
    runs = [
        subprocess.Popen(
            command,
            env=free | _WAYS[way] | {"REFRACT_STATE": str(shared), "REFRACT_DEVICE": "cpu"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for run in runs:  # all are ready before one begins
        assert run.stdout and run.stdout.readline()
    for run in runs:
        assert run.stdin
        print(file=run.stdin, flush=True)
    return [float(run.communicate()[0]) for run in runs]


def _run(work: str, folder: Path) -> None:
    """Import, announce itself, wait for a line, do the work, print its seconds."""
    from refract.pipeline.device import pick_device

    workspace = Workspace(folder)
    own = Path(tempfile.mkdtemp(dir=folder))
    arguments = ["--params", str(workspace.params), "--output", str(own / "out")]
    if work == "training":
        stage = import_module("stages.train_ir_adapter")
        import_module("refract.infrared.training.job")
        arguments += ["--triptychs", str(workspace.triptychs)]
    else:
        stage = import_module("stages.flowalign_edit")
        import_module("refract.editing.cases.single")
        arguments += ["--video", str(_PRODUCT / "video.mp4")]
        arguments += ["--target-image", str(_PRODUCT / "product.png")]
        arguments += ["--source-prompt", "a red plain mug sliding left on beige wood"]
        arguments += ["--target-prompt", "a mug sliding left on beige wood"]
    pick_device()
    os.environ["REFRACT_STATE"] = str(own / "state")
    sys.argv = [work, *arguments]
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        stage.main()
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main()
