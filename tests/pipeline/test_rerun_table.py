"""What reruns after which change: the real dvc.yaml under real DVC, with stand-in stages.

A copy of the repository gets a `python` that records which stage was started and writes outputs
made from the settings dvc.yaml lists for it and from its input files, so that a changed output
travels on as it would from the real stage.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from refract.pipeline.profile import round_trip_yaml

STAND_IN = r"""#!{python}
import hashlib, json, sys
from pathlib import Path
from ruamel.yaml import YAML

name = sys.argv[2].removeprefix("stages.")
paths = dict(zip(sys.argv[3::2], sys.argv[4::2]))
with open("{log}", "a") as log:
    print(name, file=log)
files = ("dvc.yaml", "params.yaml", "data/cases.yaml")
pipeline, params, cases_file = [YAML(typ="safe").load(Path(file)) for file in files]
facts = [cases_file if "--cases" in paths else None]
for key in pipeline["stages"][name]["params"]:
    value = params
    for part in [] if key == {{"params.yaml": None}} else key.split("."):
        value = value[part]
    facts.append(value)
cases = cases_file["cases"].values()
infrared_case = any(case.get("target_image") == "infer_ir" for case in cases)
if name == "extract_ref_banks" and not infrared_case:
    # adapter and triptychs change a bank only where a case asks for its image
    del paths["--adapter"], paths["--triptychs"]
for option in ("--triptychs", "--adapter", "--infrared", "--banks", "--edits"):
    facts += [path.read_text() for path in sorted(Path(paths.get(option, "none")).glob("*"))]
digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
folders = [paths[key] for key in ("--output", "--plots", "--report") if key in paths]
outputs = [Path(folder, "result") for folder in folders]
if "--metrics" in paths:
    for folder in (Path(paths["--metrics"]), Path(paths["--metrics"], "details")):
        outputs += [folder / f"{{half}}.json" for half in ("infrared", "edit")]
for output in outputs:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({{"digest": digest}}))
"""


class Pipeline:
    """A copy of the repository in which stages are stand-ins; `rerun` tells which were started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.parent / "started.log"
        self.tick = 0

    def rerun(self) -> list[str]:
        self.log.write_text("")
        Repo(str(self.folder)).reproduce()
        return self.log.read_text().split()

    def reached(self, stage: str) -> set[str]:
        """Keys of params.yaml, or sections, that DVC finds changed for a stage."""
        found: set[str] = set()
        for entry in Repo(str(self.folder)).status().get(stage, []):
            if isinstance(entry, dict):
                found |= entry.get("changed deps", {}).get("params.yaml", {}).keys()
        return found

    def edit(self, file: str, change: Callable[[Any], object]) -> None:
        """Load a YAML file, let `change` alter it, write it back."""
        yaml = round_trip_yaml()
        document = yaml.load(self.folder / file)
        change(document)
        yaml.dump(document, self.folder / file)

    def set(self, key: str, value: object) -> None:
        def change(document: Any) -> None:
            *above, leaf = key.split(".")
            for part in above:
                document = document[part]
            assert document[leaf] != value
            document[leaf] = value

        self.edit("params.yaml", change)


def copy_repository(root: Path, folder: Path) -> None:
    folder.mkdir()
    for name in ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(root / name, folder / name)
    shutil.copytree(root / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    for name in ("src", "stages"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "data/street",
        "data/products",
        "data/votes",
    ):  # their content does not matter here
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(name)
    shutil.copy(root / "data/cases.yaml", folder / "data/cases.yaml")
    for name in ("flux-fill-micro", "wan-micro", "clip-micro"):
        (folder / "backbones" / name).mkdir(parents=True)
        (folder / "backbones" / name / "manifest.json").write_text(name)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    base = tmp_path_factory.mktemp("rerun")
    copied = Pipeline(base / "repository")
    copy_repository(Path(__file__).resolve().parents[2], copied.folder)
    subprocess.run(["git", "init", "-q", str(copied.folder)], check=True)
    (base / "bin").mkdir()
    stand_in = base / "bin" / "python"
    stand_in.write_text(STAND_IN.format(python=sys.executable, log=copied.log))
    stand_in.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{base / 'bin'}{os.pathsep}{os.environ['PATH']}")
        patch.chdir(copied.folder)
        assert len(copied.rerun()) == 6
        yield copied


EDIT = ["flowalign_edit", "evaluate"]
BANKS = ["extract_ref_banks", *EDIT]


@pytest.mark.parametrize(
    ("changes", "started"),
    [
        ({"ref_strength": 0.5, "ref_layers": "deep", "ref_branches": "all", "ref_mode": "x"}, EDIT),
        ({"ref_timesteps": [0.1, 0.7]}, BANKS),
        ({"flowalign.guidance": 7.5, "flowalign.zeta": 0.03, "flowalign.steps": 13}, EDIT),
        ({"infer_ir.steps": 11}, ["infer_ir", "evaluate"]),
        (
            {
                "infer_ir.samples": 4,
                "infer_ir.bits": 16,
                "infer_ir.attention_maps.regions": [[0, 0.5, 0.5, 1]],
                "infer_ir.attention_maps.steps": [1],
                "infer_ir.attention_maps.scenes": 2,
            },
            ["infer_ir", "evaluate"],
        ),
        ({"evaluate.bootstrap": 500, "evaluate.sheet_items": 3}, ["evaluate"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_changed_settings(
    pipeline: Pipeline, changes: dict[str, object], started: list[str]
) -> None:
    """The keys of a row reach its first stage, alone or by their section; it runs as listed."""
    for key, value in changes.items():
        pipeline.set(key, value)
    reached = pipeline.reached(started[0])
    assert reached == {key if key in reached else key.partition(".")[0] for key in changes}
    assert pipeline.rerun() == started


def test_a_second_run_starts_nothing(pipeline: Pipeline) -> None:
    assert pipeline.rerun() == []


def test_a_changed_target_prompt(pipeline: Pipeline) -> None:
    def change(document: Any) -> None:
        next(iter(document["cases"].values()))["target_prompt"] = "a red thing"

    pipeline.edit("data/cases.yaml", change)
    assert pipeline.rerun() == BANKS


def test_adapter_settings_do_not_reach_the_edits(pipeline: Pipeline) -> None:
    """No case takes its reference from infer_ir: the banks come out equal, so no edit runs."""
    changes = {"ir_adapter.lr": 1e-4, "ir_adapter.layers": 3, "ir_adapter.heads": 4}
    for key, value in changes.items():
        pipeline.set(key, value)
    assert pipeline.reached("train_ir_adapter") == {"ir_adapter"}
    assert set(pipeline.rerun()) == {
        "train_ir_adapter",
        "infer_ir",
        "extract_ref_banks",
        "evaluate",
    }


def test_a_segmenter_starts_the_infrared_branch(pipeline: Pipeline) -> None:
    changes = {
        "prepare_triptychs.semantic.source": "model",
        "prepare_triptychs.semantic.model": "owner/name",
        "prepare_triptychs.semantic.revision": "v1",
    }
    for key, value in changes.items():
        pipeline.set(key, value)
    assert pipeline.reached("prepare_triptychs") == {"prepare_triptychs"}
    assert not any(map(pipeline.reached, ("train_ir_adapter", "infer_ir", *BANKS[:2])))
    assert set(pipeline.rerun()) == {
        "prepare_triptychs",
        "train_ir_adapter",
        "infer_ir",
        "extract_ref_banks",  # comes out equal, so no edit runs
        "evaluate",
    }


def test_adapter_settings_reach_the_edits_of_an_infrared_case(pipeline: Pipeline) -> None:
    def change(document: Any) -> None:
        next(iter(document["cases"].values()))["target_image"] = "infer_ir"

    pipeline.edit("data/cases.yaml", change)
    assert pipeline.rerun() == BANKS
    pipeline.set("ir_adapter.lr", 2e-4)
    assert set(pipeline.rerun()) == {"train_ir_adapter", "infer_ir", *BANKS}


def append_comment(file: Path) -> None:
    with file.open("a") as opened:
        opened.write("# a comment\n")


def comment_settings(folder: Path) -> None:
    append_comment(folder / "params.yaml")


def reverse_keys(folder: Path) -> None:
    yaml = round_trip_yaml()
    document = yaml.load(folder / "params.yaml")
    yaml.dump({key: document[key] for key in reversed(list(document))}, folder / "params.yaml")


def comment_plumbing(folder: Path) -> None:
    append_comment(folder / "src/refract/pipeline/item_store.py")
    append_comment(folder / "src/refract/base/files.py")


def compile_code(folder: Path) -> None:
    compiled = folder / "src/refract/models/__pycache__/wan.pyc"
    compiled.parent.mkdir()
    compiled.touch()


@pytest.mark.parametrize("change", [comment_settings, reverse_keys, comment_plumbing, compile_code])
def test_changes_without_meaning_start_nothing(
    pipeline: Pipeline, change: Callable[[Path], None]
) -> None:
    before = files_of(pipeline.folder)
    change(pipeline.folder)
    assert before != files_of(pipeline.folder)
    assert pipeline.rerun() == []


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


@pytest.mark.parametrize(
    ("file", "started"),
    [
        ("stages/evaluate.py", ["evaluate"]),
        ("src/refract/editing/samplers/flowalign.py", ["flowalign_edit"]),
        ("src/refract/infrared/training/loop.py", ["train_ir_adapter"]),
        ("src/refract/triptychs/layouts/unused.py", ["prepare_triptychs"]),
        ("data/cases.yaml", BANKS),
    ],
)
def test_a_comment_starts_the_stages_that_name_its_folder(
    pipeline: Pipeline, file: str, started: list[str]
) -> None:
    """They find every item in the store, so what they write is the same and starts nobody else."""
    append_comment(pipeline.folder / file)
    assert sorted(pipeline.rerun()) == sorted(started)


def test_a_retrained_model_starts_its_stage(pipeline: Pipeline) -> None:
    (pipeline.folder / "backbones/clip-micro/manifest.json").write_text("retrained")
    assert pipeline.rerun() == ["evaluate"]


def test_an_experiment_runs_only_what_its_setting_changes(pipeline: Pipeline) -> None:
    """As `dvc exp run -S ref_strength=0.9` on the command line, after a commit."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "state"], check=True)
    pipeline.log.write_text("")
    dvc = [sys.executable, "-m", "dvc", "exp", "run", "-q", "-S", "ref_strength=0.9"]
    subprocess.run(dvc, check=True)
    assert pipeline.log.read_text().split() == EDIT
