"""The real pipeline, end to end, on a few scenes and cases in a repository of its own."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
# which a clone has its own of, or lacks as a user does
_OF_THE_TESTS = ("REFRACT_STATE", "DVC_ROOT", "PYTHONPATH", "REFRACT_PROCESSES")
SCENES = {"train": 6, "val": 2, "test": 3}
PARAMS = {
    "prepare_triptychs": {"source": "data/few"},
    "ir_adapter": {"steps": 4, "batch": 2, "validate_every": 2, "checkpoint_every": 2},
    "infer_ir": {"steps": 2, "batch": 2},
    "flowalign": {"steps": 3, "strength_curve": [0.5]},
    "evaluate": {"bootstrap": 100, "sheet_items": 2},
}


def run(repo: Path, *command: str) -> str:
    own = {name: text for name, text in os.environ.items() if name not in _OF_THE_TESTS}
    own["PYTHONPATH"] = str(repo / "src")
    done = subprocess.run(command, cwd=repo, env=own, capture_output=True, text=True, timeout=600)
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)} exited {done.returncode}:\n{output[-4000:]}"
    return output


def dvc(repo: Path, *arguments: str) -> str:
    return run(repo, sys.executable, "-m", "dvc", *arguments)


def edit_yaml(path: Path, change: dict) -> None:
    yaml = YAML()
    document = yaml.load(path.read_text())
    for section, values in change.items():
        document[section].update(values)
    with path.open("w") as file:
        yaml.dump(document, file)


def keep_few_scenes(source: Path, target: Path) -> None:
    target.mkdir()
    with (source / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = []
    for split, count in SCENES.items():
        kept += [row for row in rows if row["split"] == split][:count]
    with (target / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(kept)
    for folder in ("visible", "infrared", "semantic"):
        (target / folder).mkdir()
        for row in kept:
            for path in (source / folder).glob(Path(row["file_name"]).stem + ".*"):
                shutil.copy2(path, target / folder)


def keep_few_cases(path: Path, count: int) -> list[str]:
    yaml = YAML()
    document = yaml.load(path.read_text())
    for name in list(document["cases"])[count:]:
        del document["cases"][name]
    with path.open("w") as file:
        yaml.dump(document, file)
    return list(document["cases"])


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the working tree with little data; its state folder is its own."""
    repo = tmp_path_factory.mktemp("clone") / "repo"
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard")
    for name in listed.split("\n"):
        if name and (ROOT / name).is_file() and name != "dvc.lock":
            (repo / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, repo / name)
    keep_few_scenes(repo / "data/street", repo / "data/few")
    keep_few_cases(repo / "data/cases.yaml", 2)
    edit_yaml(repo / "params.yaml", PARAMS)
    run(repo, "git", "init", "-q")
    run(repo, "git", "add", "-A")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    run(repo, "git", *identity, "commit", "-qm", "few scenes")
    return repo


@pytest.fixture(scope="module")
def reproduced(repo: Path) -> str:
    output = dvc(repo, "repro")
    run(repo, "git", "add", "-A")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    run(repo, "git", *identity, "commit", "-qm", "results")
    return output


def read_metrics(repo: Path) -> dict[str, dict]:
    return {
        name: json.loads((repo / f"metrics/details/{name}.json").read_text())
        for name in ("infrared", "edit")
    }


def stages_run(output: str) -> set[str]:
    lines = output.splitlines()
    return {line.split("'")[1] for line in lines if line.startswith("Running stage '")}


def test_all_six_stages_run_and_write_metrics(repo: Path, reproduced: str) -> None:
    assert stages_run(reproduced) == {
        "prepare_triptychs",
        "train_ir_adapter",
        "infer_ir",
        "extract_ref_banks",
        "flowalign_edit",
        "evaluate",
    }
    metrics = read_metrics(repo)
    infrared, edit = metrics["infrared"], metrics["edit"]
    for group in (
        infrared,
        *(infrared["baseline"][name] for name in ("grayscale", "shuffled_map")),
    ):
        for key in ("psnr", "ssim"):
            assert group[f"{key}_low"] <= group[key] <= group[f"{key}_high"]
    for group in (edit, edit["plain"]):
        product = group["product"]
        assert 0 <= product["histogram_overlap_low"] <= product["histogram_overlap"] <= 1
        assert group["background"]["psnr"] > 0
        assert "relative_consistency" in group["temporal"]
        assert {"clip_micro_i", "clip_micro_i_crop"} <= product.keys()


def test_second_repro_does_nothing(repo: Path, reproduced: str) -> None:
    assert stages_run(dvc(repo, "repro")) == set()


def test_a_comment_in_code_computes_nothing(repo: Path, reproduced: str) -> None:
    """The process of the stage that holds it starts and loads no model; for plumbing none does."""
    for name in ("editing/samplers/flowalign.py", "pipeline/item_store.py"):
        with (repo / "src/refract" / name).open("a") as file:
            file.write("# a comment\n")
    output = dvc(repo, "repro")
    assert stages_run(output) == {"flowalign_edit"}
    assert " items hit, 0 computed" in output and "loading" not in output


@pytest.mark.long
def test_recomputed_from_scratch_the_metrics_are_the_same_bytes(
    repo: Path, reproduced: str
) -> None:
    before = {str(path): path.read_bytes() for path in (repo / "metrics").rglob("*.json")}
    shutil.rmtree(repo / ".state")
    output = dvc(repo, "repro", "--force", "--no-run-cache")
    assert len(stages_run(output)) == 6
    assert {str(path): path.read_bytes() for path in (repo / "metrics").rglob("*.json")} == before


def test_experiment_on_strength_reruns_the_edit_half_only(repo: Path, reproduced: str) -> None:
    before = read_metrics(repo)
    output = dvc(repo, "exp", "run", "-S", "ref_strength=0.5")
    assert stages_run(output) == {"flowalign_edit", "evaluate"}
    after = read_metrics(repo)
    assert after["infrared"] == before["infrared"]
    assert after["edit"]["plain"] == before["edit"]["plain"]
    assert after["edit"]["product"] != before["edit"]["product"]
    changed = json.loads(dvc(repo, "metrics", "diff", "--json"))
    assert set(changed) == {"metrics/edit.json"}
