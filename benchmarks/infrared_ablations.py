"""Ablations of the infrared adapter in one table, over several seeds, with intervals and cost.

    python -m benchmarks.infrared_ablations --folder /tmp/ablations --seeds 0 1 2 --jobs 2

Each run is a training and an inference of the real stages on one thread with the settings of
params.yaml but for the variant's. Finished runs are kept in the folder, so a stopped benchmark goes
on; the table is of what is there. Do not edit src/ or stages/ meanwhile.
"""

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.ablation_runs import Site, baseline_scores, run_variant
from benchmarks.ablation_variants import VARIANTS
from benchmarks.machine import describe_machine
from benchmarks.table import markdown_table
from refract.evaluation.measures.bootstrap import mean_interval

ROOT = Path(__file__).resolve().parents[1]
_RESAMPLES = 2000
_DAYTIMES = ("day", "night")

# PSNR by (seed, scene), one row a seed.
Grid = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="results and item store")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--table", action="store_true", help="no runs, the table alone")
    options = parser.parse_args()
    site = Site(ROOT, options.folder.resolve())
    if not options.table:
        run_all(site, options.seeds, options.only, options.jobs)
    print(report(site))


def run_all(site: Site, seeds: Sequence[int], names: Sequence[str], jobs: int) -> None:
    """Every variant at every seed, a seed at a time, so that an unfinished table is balanced."""
    site.folder.mkdir(parents=True, exist_ok=True)
    if not site.triptychs.is_dir():
        params = site.write_params("triptychs", 0, {})
        site.stage("prepare_triptychs", params, "--output", site.triptychs)
    with ThreadPoolExecutor(jobs) as pool:
        futures = [
            pool.submit(run_variant, site, name, seed, VARIANTS[name])
            for seed in seeds
            for name in names
        ]
        for future in tqdm(as_completed(futures), total=len(futures), desc="runs"):
            future.result()


def report(site: Site) -> str:
    """The tables of the finished runs, as Markdown."""
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(site.folder.glob("*.result.json")):
        document = json.loads(path.read_text())
        runs[document["variant"]].append(document)
    default = runs["default"]
    rows = []
    for name in (name for name in VARIANTS if name in runs):
        own = sorted(runs[name], key=lambda run: run["seed"])
        cells = [name, len(own)]
        for daytime in _DAYTIMES:
            cells += [*_level(own, daytime), _gain(own, default, daytime) if own != default else ""]
        cells.append(_share(own, default, "train_cpu_s"))
        cells.append(_share(own, default, "infer_cpu_s"))
        rows.append(cells)
    for name, scores in baseline_scores(site).items():
        cells = [name, ""]
        for daytime in _DAYTIMES:
            grid = _grid([scores], daytime)
            cells += [_interval(grid.mean(0)), "", _interval(grid.mean(0) - _of(default, daytime))]
        rows.append([*cells, "", ""])
    header = ["variant", "seeds"]
    for daytime in _DAYTIMES:
        header += [f"{daytime}, dB", "of the seeds", "to default"]
    header += ["training, x", "inference, x"]
    cost = np.mean([[run["train_cpu_s"], run["infer_cpu_s"]] for run in default], 0)
    return "\n\n".join(
        [
            f"{describe_machine('cpu', 'float32')}; one thread a run. PSNR with 95% bootstrap "
            "intervals over scenes of the mean over seeds; differences are paired by scene and "
            f"seed. x 1 is {cost[0]:.0f} CPU-s of training and {cost[1]:.0f} of inference.",
            markdown_table(header, rows),
            "Default form, its own map against a wrong one (shuffled_map) and none (zero_map):",
            _controls(default),
        ]
    )


def _controls(default: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for kind in ("shuffled_map", "zero_map"):
        differences = [
            _interval(_kind(default, kind, daytime).mean(0) - _of(default, daytime))
            for daytime in _DAYTIMES
        ]
        rows.append([kind, *differences])
    return markdown_table(["map", *(f"{daytime}, dB" for daytime in _DAYTIMES)], rows)


def _grid(scores: Sequence[Sequence[Mapping[str, Any]]], daytime: str) -> Grid:
    """PSNR by (run, scene) of one time of day."""
    return np.array([[s["psnr"] for s in run if s["daytime"] == daytime] for run in scores])


def _kind(runs: Sequence[Mapping[str, Any]], kind: str, daytime: str) -> Grid:
    return _grid([run["scores"][kind] for run in runs], daytime)


def _of(runs: Sequence[Mapping[str, Any]], daytime: str) -> NDArray[np.float64]:
    """Mean over seeds of every scene."""
    return np.asarray(_kind(runs, "adapter", daytime).mean(0))


def _level(runs: Sequence[Mapping[str, Any]], daytime: str) -> list[str]:
    """Mean with its interval over scenes, and the range of the seeds' means."""
    seeds = _kind(runs, "adapter", daytime).mean(1)
    return [_interval(_of(runs, daytime)), f"{seeds.min():.2f} to {seeds.max():.2f}"]


def _gain(
    runs: Sequence[Mapping[str, Any]], default: Sequence[Mapping[str, Any]], daytime: str
) -> str:
    """Paired difference to the default at the seeds that both have."""
    by_seed = {run["seed"]: run for run in default}
    pairs = [(run, by_seed[run["seed"]]) for run in runs if run["seed"] in by_seed]
    if not pairs:
        return ""
    own, other = (list(side) for side in zip(*pairs, strict=True))
    return _interval(_of(own, daytime) - _of(other, daytime))


def _interval(values: NDArray[np.float64]) -> str:
    interval = mean_interval(values.tolist(), resamples=_RESAMPLES, seed=0)
    if interval is None:
        return ""
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _share(
    runs: Sequence[Mapping[str, Any]], default: Sequence[Mapping[str, Any]], key: str
) -> float:
    """Median CPU time over that of the default."""
    medians = [float(np.median([run[key] for run in group])) for group in (runs, default)]
    return medians[0] / medians[1]


if __name__ == "__main__":
    main()
