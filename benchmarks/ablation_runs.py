"""One trained and inferred variant: its settings, its stages as processes, its scores."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refract.base.atomic import write_atomic
from refract.base.yaml_files import read_yaml
from refract.evaluation.infrared.baselines import fit_baselines
from refract.evaluation.infrared.scenes import Gray, Scene, load_predictions, load_scenes
from refract.evaluation.measures.image import psnr, ssim, to_unit

KINDS = ("adapter", "shuffled_map", "zero_map")


@dataclass(frozen=True)
class Site:
    """Where an ablation is run: `root` holds the code and params.yaml, `folder` all results."""

    root: Path
    folder: Path

    @property
    def triptychs(self) -> Path:
        return self.folder / "triptychs"

    def stage(self, name: str, params: Path, *options: str | Path) -> float:
        """Run a stage on one thread to its end; returns its CPU seconds (user and system).

        CPU time rather than wall time: variants run side by side and shall not count each other.
        RuntimeError with the end of its messages where it failed.
        """
        command = [sys.executable, "-m", f"stages.{name}", "--params", params, *options]
        environment = os.environ | {
            "REFRACT_STATE": str(self.folder / "state"),
            "REFRACT_THREADS": "1",
            "PYTHONPATH": f"{self.root / 'src'}{os.pathsep}{self.root}",
        }
        log = params.with_suffix(f".{name}.log")
        with log.open("wb") as messages:
            process = subprocess.Popen(
                command, cwd=self.root, env=environment, stdout=messages, stderr=messages
            )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{params.stem}, {name}: {log.read_text()[-2000:]}")
        return usage.ru_utime + usage.ru_stime

    def write_params(self, name: str, seed: int, changes: Mapping[str, object]) -> Path:
        """params.yaml with `changes` below ir_adapter."""
        params = read_yaml(self.root / "params.yaml")
        params["seed"] = seed
        for key, value in changes.items():
            section: dict[str, Any] = params["ir_adapter"]
            *parents, last = key.split(".")
            for parent in parents:
                section = section[parent]
            if last not in section:
                raise KeyError(f"ir_adapter.{key} is no setting of {self.root / 'params.yaml'}")
            section[last] = value
        path = self.folder / f"{name.replace(' ', '_')}_{seed}.yaml"
        path.write_text(json.dumps(params, indent=1))  # JSON is YAML too
        return path


def run_variant(site: Site, name: str, seed: int, changes: Mapping[str, object]) -> Path:
    """Train, infer and score one variant, unless its result file is there; returns that file."""
    params = site.write_params(name, seed, changes)
    result = params.with_suffix(".result.json")
    if result.is_file():
        return result
    adapter, pictures = params.with_suffix(".adapter"), params.with_suffix(".pictures")
    inputs = ("--triptychs", site.triptychs)
    trained = site.stage("train_ir_adapter", params, *inputs, "--output", adapter)
    inferred = site.stage("infer_ir", params, *inputs, "--adapter", adapter, "--output", pictures)
    scenes = load_scenes(site.triptychs, "test")
    document = {
        "variant": name,
        "seed": seed,
        "train_cpu_s": trained,
        "infer_cpu_s": inferred,
        "scores": {
            kind: score(load_predictions(pictures / kind, scenes), scenes) for kind in KINDS
        },
    }
    write_atomic(result, lambda path: path.write_text(json.dumps(document)))
    return result


def baseline_scores(site: Site) -> dict[str, list[dict[str, Any]]]:
    """Scores of the answers that need no model, by their name."""
    scenes = load_scenes(site.triptychs, "test")
    answers = fit_baselines(load_scenes(site.triptychs, "train"))
    return {name: score([f(s) for s in scenes], scenes) for name, f in answers.items()}


def score(pictures: list[Gray], scenes: Sequence[Scene]) -> list[dict[str, Any]]:
    """PSNR (dB) and SSIM of every scene."""
    return [
        {
            "scene": scene.id,
            "daytime": scene.daytime,
            "psnr": psnr(to_unit(picture), to_unit(scene.infrared)),
            "ssim": ssim(to_unit(picture), to_unit(scene.infrared)),
        }
        for picture, scene in zip(pictures, scenes, strict=True)
    ]
