"""The three infrared stages as commands: real pictures in, exit codes and messages out."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from refract.triptychs.panels.manifest import read_manifest
from tests.stage_process import Done, run_module

ROOT = Path(__file__).parents[2]
SHORT = {
    "ir_adapter": {"steps": 3, "batch": 2, "rank": 2, "validate_every": 0, "checkpoint_every": 0},
    "infer_ir": {"steps": 2, "batch": 4},
}


def write_params(folder: Path, model: Path, **changes: dict[str, Any]) -> Path:
    yaml = YAML()
    document = yaml.load((ROOT / "params.yaml").read_text())
    document["infrared_model"]["path"] = str(model)
    for section, values in [*SHORT.items(), *changes.items()]:
        document[section].update(values)
    path = folder / "params.yaml"
    with path.open("w") as file:
        yaml.dump(document, file)
    return path


def stage(name: str, **paths: Path) -> Done:
    return run_module(f"stages.{name}", *(f"--{key}={path}" for key, path in paths.items()))


def assert_refused(done: Done, name: str, *parts: str) -> None:
    """Exit code 2 and one plain line at the end, no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(f"refract {name}: error: ")
    for part in parts:
        assert part in line


def test_roadscene_goes_through_by_params_alone(
    shared: Path, tiny_model: Path, tmp_path: Path
) -> None:
    source = shared / "roadscene"
    if not source.is_dir():
        pytest.skip(f"no RoadScene pictures at {source}")
    params = write_params(
        tmp_path,
        tiny_model,
        prepare_triptychs={
            "source": str(source),
            "layout": "roadscene",
            "panel_px": 32,
            "semantic": {"source": "none", "model": None, "revision": None},
            "split": {"train": 0.8, "val": 0.1, "test": 0.1},
        },
    )
    out = {name: tmp_path / name for name in ("triptychs", "adapter", "infrared")}
    steps = [
        ("prepare_triptychs", {"output": out["triptychs"]}),
        ("train_ir_adapter", {"triptychs": out["triptychs"], "output": out["adapter"]}),
        (
            "infer_ir",
            {
                "triptychs": out["triptychs"],
                "adapter": out["adapter"],
                "output": out["infrared"],
            },
        ),
    ]
    for name, paths in steps:
        done = stage(name, params=params, **paths)
        assert done.returncode == 0, done.stderr
    rows = read_manifest(out["triptychs"], "test")
    for row in rows:
        picture = np.asarray(Image.open(out["infrared"] / "adapter" / f"{row.id}.png"))
        assert picture.shape == (32, 32)
    assert len(list((out["infrared"] / "adapter").iterdir())) == len(rows)


def test_a_corrupt_picture_stops_prepare_triptychs(tmp_path: Path) -> None:
    for folder in ("visible", "infrared"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
        (tmp_path / "raw" / folder / "a.png").write_bytes(b"no picture")
    params = write_params(
        tmp_path,
        tmp_path,
        prepare_triptychs={
            "source": str(tmp_path / "raw"),
            "semantic": {"source": "none", "model": None, "revision": None},
        },
    )
    output = tmp_path / "out"
    done = stage("prepare_triptychs", params=params, output=output)
    assert_refused(done, "prepare_triptychs")
    assert not output.exists()


def test_a_manifest_without_a_column_stops_train_ir_adapter(
    tiny_model: Path, tmp_path: Path
) -> None:
    triptychs = tmp_path / "triptychs"
    triptychs.mkdir()
    with (triptychs / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "split"], ["a", "train"]])
    params = write_params(tmp_path, tiny_model)
    output = tmp_path / "out"
    done = stage("train_ir_adapter", params=params, triptychs=triptychs, output=output)
    assert_refused(done, "train_ir_adapter", "manifest.csv: column visible is missing")
    assert not output.exists()


def test_a_folder_that_is_no_adapter_stops_infer_ir(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    params = write_params(tmp_path, tmp_path)
    output = tmp_path / "out"
    done = stage(
        "infer_ir", params=params, triptychs=tmp_path, adapter=tmp_path / "adapter", output=output
    )
    assert_refused(done, "infer_ir", "config.json: missing", "an output of train_ir_adapter")
    assert not output.exists()
