"""Two runs at once on the cores of one machine, against one alone, by how their threads wait.

python -m benchmarks.side_by_side training
python -m benchmarks.side_by_side edits

The real stages, a training of a few steps on the sample scenes or one edit with its bank, in
processes that have their imports behind them. Each round has every way once, alone and by twos.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from statistics import mean, median

from benchmarks.tables import describe_machine, markdown_table
from refract.base.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parents[1]

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
        _write_inputs(Path(folder), options)
        seconds: dict[tuple[str, int], list[float]] = {}
        for number in range(options.rounds):
            for way in options.ways:
                for count in (1, 2):
                    shared = Path(folder, f"{number}-{way}-{count}")
                    times = _times(options.work, Path(folder), shared, way, count)
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


def _write_inputs(folder: Path, options: argparse.Namespace) -> None:
    """params.yaml of a short training and, for one, the triptychs of the sample scenes."""
    params = read_yaml(ROOT / "params.yaml")
    params["prepare_triptychs"]["source"] = str(ROOT / "data" / "street")
    params["infrared_model"]["path"] = str(ROOT / "backbones" / "flux-fill-micro")
    params["video_model"]["path"] = str(ROOT / "backbones" / "wan-micro")
    params["ir_adapter"]["steps"] = options.steps
    (folder / "params.yaml").write_text(json.dumps(params))  # JSON is YAML too
    if options.work == "training":
        command = [sys.executable, "-m", "stages.prepare_triptychs"]
        command += ["--params", str(folder / "params.yaml"), "--output", str(folder / "triptychs")]
        environment = os.environ | {"REFRACT_STATE": str(folder / "state")}
        subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)


def _times(work: str, folder: Path, shared: Path, way: str, count: int) -> list[float]:
    """Seconds of `count` runs at once, which see each other in the state folder `shared`."""
    free = {name: value for name, value in os.environ.items() if name not in _CHOICES}
    command = [sys.executable, "-m", "benchmarks.side_by_side", work]
    command += ["--run-in", str(folder)]
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

    own = Path(tempfile.mkdtemp(dir=folder))
    arguments = ["--params", str(folder / "params.yaml"), "--output", str(own / "out")]
    if work == "training":
        stage = import_module("stages.train_ir_adapter")
        import_module("refract.infrared.training.job")
        arguments += ["--triptychs", str(folder / "triptychs")]
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
