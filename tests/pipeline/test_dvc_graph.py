"""dvc.yaml against the code: dependencies, settings, outputs."""

from pathlib import Path
from typing import Any

import pytest

from refract.base.yaml_files import read_yaml
from refract.pipeline import sync as dvc_sync

STAGES = (
    "prepare_triptychs", "train_ir_adapter", "infer_ir", "extract_ref_banks", "flowalign_edit",
    "evaluate",
)  # fmt: skip


@pytest.fixture(scope="module")
def stages() -> dict[str, Any]:
    return read_yaml(Path(__file__).resolve().parents[2] / "dvc.yaml")["stages"]


def test_the_six_stages_in_order(stages: dict[str, Any]) -> None:
    assert tuple(stages) == STAGES


@pytest.mark.parametrize("name", STAGES)
def test_code_dependencies_are_the_import_closure(stages: dict[str, Any], name: str) -> None:
    listed = [entry for entry in stages[name]["deps"] if dvc_sync.is_code(entry)]
    assert listed == dvc_sync.wanted_code(stages[name]["cmd"]), "run `make sync`"


def test_recipes_depend_on_the_code_they_run(root: Path) -> None:
    document = read_yaml(root / "backbones" / "dvc.yaml")
    assert dvc_sync.synchronise(document) == [], "run `make sync`"


@pytest.mark.parametrize("name", STAGES)
def test_params_are_what_the_stage_reads(stages: dict[str, Any], name: str) -> None:
    listed = [entry for entry in stages[name]["params"] if isinstance(entry, str)]
    assert listed == dvc_sync.wanted_params(name), "run `make sync`"


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_described_and_runs_its_module(stages: dict[str, Any], name: str) -> None:
    stage = stages[name]
    assert len(stage["desc"]) > 20
    assert stage["cmd"].startswith(f"exec python -m stages.{name} --params params.yaml")


def outputs_of(stage: dict[str, Any]) -> list[str]:
    """Paths of the outputs and metrics, with options or without."""
    entries = [*stage["outs"], *stage.get("metrics", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@pytest.mark.parametrize("name", STAGES)
def test_paths_of_the_command_are_dependencies_or_outputs(
    stages: dict[str, Any], name: str
) -> None:
    stage = stages[name]
    given = {word for word in stage["cmd"].split() if word.startswith(("out/", "metrics"))}
    declared = {*stage["deps"], *outputs_of(stage)}
    for path in given:
        assert any(entry == path or entry.startswith(f"{path}/") for entry in declared), path
    for path in declared:
        if path.startswith(("out/", "metrics")):
            assert any(path == word or path.startswith(f"{word}/") for word in given), path


@pytest.mark.parametrize("name", STAGES)
def test_cases_are_watched_where_they_are_read(stages: dict[str, Any], name: str) -> None:
    reads = "--cases data/cases.yaml" in stages[name]["cmd"]
    assert ({"data/cases.yaml": ["cases"]} in stages[name]["params"]) is reads


def test_uncached_outputs_only_in_evaluate(stages: dict[str, Any]) -> None:
    """`cache: false` and `persist` disable the run cache of a whole stage."""
    for name, stage in stages.items():
        outputs = [*stage["outs"], *stage.get("metrics", []), *stage.get("plots", [])]
        flagged = [entry for entry in outputs if isinstance(entry, dict)]
        assert not any("persist" in options for entry in flagged for options in entry.values())
        assert bool(flagged) is (name == "evaluate")


def test_outputs_are_ignored_by_git_up_front(root: Path, stages: dict[str, Any]) -> None:
    """Else DVC writes .gitignore files of its own, which end up hashed."""
    ignored = (root / ".gitignore").read_text().splitlines()
    assert "/out/" in ignored and "/.state/" in ignored
    cached = {out for stage in stages.values() for out in stage["outs"] if isinstance(out, str)}
    assert all(out.startswith("out/") for out in cached)
    assert "/metrics/" not in ignored, "metrics are tracked by git"


def test_synchronise_repairs_and_keeps_comments(root: Path) -> None:
    yaml = dvc_sync.round_trip_yaml()
    document = yaml.load((root / "dvc.yaml").read_text())
    assert dvc_sync.synchronise(document) == []
    stage = document["stages"]["extract_ref_banks"]
    stage["deps"].remove("stages/extract_ref_banks.py")
    stage["params"].insert(0, "evaluate.bootstrap")
    assert dvc_sync.synchronise(document) == ["extract_ref_banks"]
    assert document == yaml.load((root / "dvc.yaml").read_text())
