"""dvc.yaml against the code: dependencies, settings, outputs."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from refract.base.yaml_files import read_yaml
from refract.params.whole import Params
from refract.pipeline.import_closure import closure

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
def test_code_dependencies_are_the_folders_of_the_import_closure(
    root: Path, stages: dict[str, Any], name: str
) -> None:
    """And the stage's own file; a package that holds others only is no folder of its own."""
    modules = [path for path in closure(f"stages.{name}") if path.name != "__init__.py"]
    folders = {path.parent for path in modules} - {root / "stages"}
    outermost = sorted(folder for folder in folders if folders.isdisjoint(folder.parents))
    code = [f"stages/{name}.py", *(path.relative_to(root).as_posix() for path in outermost)]
    listed = stages[name]["deps"]
    assert [entry for entry in listed if entry.startswith(("src/", "stages/"))] == code


def reads_all(part: Any, whole: Any) -> bool:
    """Whether settings of type `part` hold every key that `whole` has."""
    if not (isinstance(part, type) and issubclass(part, BaseModel)):
        return True
    fields, all_fields = part.model_fields, whole.model_fields
    return fields.keys() == all_fields.keys() and all(
        reads_all(field.annotation, all_fields[name].annotation) for name, field in fields.items()
    )


def keys_read(part: type[BaseModel], whole: type[BaseModel], above: str = "") -> list[str]:
    """Dotted keys of `whole` that `part` takes: a section, or keys of one that it takes in part."""
    found = []
    for name, field in part.model_fields.items():
        kind, full = field.annotation, whole.model_fields[name].annotation
        key = f"{above}{name}"
        found += [key] if reads_all(kind, full) else keys_read(kind, full, f"{key}.")  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("name", STAGES)
def test_params_are_what_the_stage_reads(stages: dict[str, Any], name: str) -> None:
    wanted: type[BaseModel] = importlib.import_module(f"stages.{name}").StageParams
    everything = [{"params.yaml": None}]
    keys = everything if reads_all(wanted, Params) else keys_read(wanted, Params)
    assert stages[name]["params"] == keys


def test_a_section_read_in_part_is_named_by_its_keys() -> None:
    class Inner(BaseModel):
        rate: float
        level: float

    class InnerPart(BaseModel):
        rate: float

    class Whole(BaseModel):
        seed: int
        inner: Inner
        other: Inner

    class Part(BaseModel):
        seed: int
        inner: InnerPart
        other: Inner

    assert keys_read(Part, Whole) == ["seed", "inner.rate", "other"]


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
    assert ("data/cases.yaml" in stages[name]["deps"]) is reads


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


def test_the_file_is_short_enough_to_read(root: Path) -> None:
    assert (root / "dvc.yaml").stat().st_size < 9_000


def test_what_python_leaves_in_folders_is_no_dependency(root: Path) -> None:
    assert "__pycache__" in (root / ".dvcignore").read_text().splitlines()
