"""The item stages in two processes of a real launch, on the CPU (gloo), against one process.

Bytes are compared, and sums depend on the number of threads: every process has one
($REFRACT_THREADS), as conftest sets it for this one.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refract.infrared.adapter.adapter_files import AdapterConfig
from refract.infrared.inference.job import InferenceJob
from refract.models.determinism import make_deterministic
from refract.models.identity import model_identity
from refract.params.cases import Case
from refract.params.infer_ir import InferIr
from refract.params.models import InfraredModelParams
from refract.pipeline.forked import in_forks
from refract.pipeline.shared_items import divide, in_batches
from tests.infrared.test_adapter_files import config
from tests.infrared.test_generator import write_adapter
from tests.stage_process import run_module, run_processes
from tests.tiny.edit import Workshop
from tests.tiny.fill import PROMPT, write_triptychs

ROOT = Path(__file__).parents[2]
INFER = {
    "steps": 2, "guidance": None, "prompt": None, "match_training": True, "batch": 2,
    "input": None, "samples": 1, "bits": 8,
    "attention_maps": {"regions": [[0, 0, 0.5, 1]], "steps": [0], "scenes": 3},
}  # fmt: skip
_T = TypeVar("_T")
STAGES = ("infer_ir", "extract_ref_banks", "flowalign_edit")


class World(NamedTuple):
    """Models, data and settings of the three stages, and how to run them in either way."""

    shop: Workshop
    cases: dict[str, Case]
    adapter: Path
    triptychs: Path

    def in_one_process(self) -> None:
        make_deterministic(0)
        section = InfraredModelParams.model_validate(self.shop.params["infrared_model"])
        job = InferenceJob(InferIr.model_validate(INFER), section, 0, self.adapter)
        job.run(self.triptychs, self.shop.folder / "out" / "infrared")
        self.shop.extract(self.cases, self.adapter)
        self.shop.edit(self.cases)

    def stage(self, name: str, output: Path) -> list[str]:
        """Module and arguments of the real stage."""
        params = self.shop.folder / "params.yaml"
        params.write_text(json.dumps(self.shop.params | {"infer_ir": INFER}))  # JSON is YAML
        cases = self.shop.folder / "data" / "cases.yaml"
        facts = {name: case.model_dump(mode="json") for name, case in self.cases.items()}
        cases.write_text(json.dumps({"cases": facts}))
        trained = {"adapter": self.adapter, "triptychs": self.triptychs}
        inputs: dict[str, dict[str, Path]] = {
            "infer_ir": trained,
            "extract_ref_banks": {"cases": cases, **trained},
            "flowalign_edit": {"cases": cases, "banks": self.shop.banks},
        }
        paths = {"params": params, "output": output, **inputs[name]}
        return [f"stages.{name}", *(f"--{option}={path}" for option, path in paths.items())]


def launch(*stage: str, code: int = 0, **variables: str) -> str:
    """What a stage says that starts itself in two processes, and ends with `code`."""
    own = {"REFRACT_DEVICE": "cpu", "REFRACT_PROCESSES": "2"}
    done = subprocess.run(
        [sys.executable, "-m", *stage], cwd=ROOT, env=os.environ | own | variables,
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def slots(state: Path) -> dict[str, list[str]]:
    """Keys of all items by store."""
    stores = (folder for folder in state.iterdir() if folder.name != "cores")
    return {folder.name: sorted(slot.name for slot in folder.iterdir()) for folder in stores}


def computed(said: str) -> list[int]:
    """What the log lines say of the numbers of items computed."""
    return [int(number) for number in re.findall(r"(\d+) computed", said)]


@pytest.fixture(scope="module")
def world(tiny_wan: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two photos with one clip, and so one source branch, and two infrared references."""
    folder = tmp_path_factory.mktemp("world")
    shop = Workshop(folder, tiny_wan)
    own = {"path": str(tiny_model), "max_sequence_length": 16}  # as `trained_on` has it
    shop.set(infrared_model={**shop.params["video_model"], **own})
    shop.baselines("sdedit")
    cases = {
        "cup": shop.case("cup", 0),
        "can": shop.case("can", 0, target_prompt="a blue mug on wood"),
        "day": shop.case("day", 1, target_image="infer_ir"),
        "night": shop.case("night", 2, target_image="infer_ir"),
    }
    (folder / "adapter").mkdir()
    adapter = write_adapter(tiny_model, folder / "adapter", trained_on(tiny_model))
    return World(shop, cases, adapter, write_triptychs(folder / "triptychs", {"test": 3}))


def trained_on(model: Path) -> AdapterConfig:
    return config(gate="one", prompt=PROMPT, model_identity=model_identity(str(model), None))


@pytest.fixture(scope="module")
def one(world: World) -> Path:
    """The state folder of one process, whose outputs lie in the folder of the world."""
    state = world.shop.folder / "state"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFRACT_STATE", str(state))
        patch.setenv("REFRACT_DEVICE", "cpu")
        world.in_one_process()
    return state


@pytest.fixture(scope="module")
def two(world: World, one: Path) -> tuple[Path, dict[str, str]]:
    """State folder of two processes and what each stage said; one stage launches them itself."""
    state = world.shop.folder / "state_of_two"
    said = {}
    for name in STAGES:
        stage = world.stage(name, world.shop.folder / "two" / name)
        if name == "extract_ref_banks":
            said[name] = launch(*stage, REFRACT_STATE=str(state))
        else:
            said[name] = run_processes(*stage, env={"REFRACT_STATE": str(state)})
    return state, said


@pytest.mark.parametrize(
    ("stage", "output"), zip(STAGES, ("infrared", "ref_banks", "edits"), strict=True)
)
def test_two_processes_write_what_one_writes(
    world: World, two: tuple[Path, dict[str, str]], stage: str, output: str
) -> None:
    made = contents(world.shop.folder / "two" / stage)
    assert len(made) > 5
    assert made == contents(world.shop.folder / "out" / output)


@pytest.mark.skipif(sys.platform != "linux", reason="items are forked on Linux alone")
def test_forked_items_are_those_of_one_process(
    world: World, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the count of what was computed, and that nothing is computed twice."""
    forks: list[int] = []

    def counted(
        work: Callable[[object], _T], items: Sequence[object], waiting: Callable[[], object]
    ) -> Iterator[_T]:
        forks.append(len(items))
        return in_forks(work, items, waiting)

    monkeypatch.setenv("REFRACT_STATE", str(tmp_path))
    monkeypatch.setenv("REFRACT_DEVICE", "cpu")
    monkeypatch.setenv("REFRACT_PROCESSES", "")
    monkeypatch.setattr("refract.pipeline.shared_items.in_forks", counted)
    expected = contents(world.shop.folder / "out")
    world.in_one_process()
    assert contents(world.shop.folder / "out") == expected
    assert slots(tmp_path) == slots(one)
    assert forks == [5, 4, 6, 4], "pictures in batches, banks, edits by source branch, views"


def test_every_item_is_computed_by_one_of_them(one: Path, two: tuple[Path, dict[str, str]]) -> None:
    state, said = two
    assert slots(state) == slots(one)
    numbers = {name: len(keys) for name, keys in slots(state).items()}
    assert computed(said["infer_ir"]) == [numbers["ir_attention"], numbers["infer_ir"]] == [3, 9]
    assert computed(said["extract_ref_banks"]) == [numbers["extract_ref_banks"]] == [4]
    assert computed(said["flowalign_edit"]) == [numbers["flowalign_edit"]]
    assert numbers["infrared_reference"] == 2


def test_the_main_process_alone_speaks_and_of_its_own_share(
    two: tuple[Path, dict[str, str]],
) -> None:
    said = two[1]
    assert "infrared, process 1 of 2: 100%" in said["infer_ir"]
    assert "5/5" in said["infer_ir"], "9 pictures in batches of 2: three batches, then two"
    for line in ("infrared: 9 pictures", "inferring 9 pictures"):
        assert said["infer_ir"].count(line) == 1
    assert said["extract_ref_banks"].count("black, while the adapter was trained with maps") == 2


@pytest.mark.long
def test_a_second_launch_computes_nothing(
    world: World, two: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    stage = world.stage("infer_ir", tmp_path / "again")
    said = run_processes(*stage, env={"REFRACT_STATE": str(two[0])})
    assert computed(said) == [0, 0] and "inferring" not in said
    assert contents(tmp_path / "again") == contents(world.shop.folder / "two" / "infer_ir")


@pytest.mark.long
def test_an_error_in_one_process_ends_all_with_its_line(world: World, tmp_path: Path) -> None:
    """Of two works of one size the second process has the second."""
    photo = tmp_path / "broken.png"
    photo.write_bytes(b"no picture")
    cup = world.cases["cup"]
    broken = world.cases["can"].model_copy(update={"target_image": str(photo)})
    own = world._replace(cases={"cup": cup, "can": broken})
    stage = own.stage("extract_ref_banks", tmp_path / "out")
    said = launch(*stage, code=2, REFRACT_STATE=str(tmp_path))
    last = said.splitlines()[-1]
    assert last.startswith(f"refract extract_ref_banks: error: case can: {photo}")
    assert said.count("error:") == 1 and "Traceback" not in said
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / "extract_ref_banks").glob("[!.]*"))) == 1, "the other's is kept"


def test_one_clip_stays_in_one_process() -> None:
    own = ("--video", "v.mkv", "--source-prompt", "a", "--target-prompt", "b", "--output", "o")
    done = run_module("stages.flowalign_edit", *own, env={"REFRACT_PROCESSES": "2"})
    assert (done.returncode, done.stderr) == (
        2, "refract flowalign_edit: error: --video v.mkv: no such file\n",
    )  # fmt: skip


WORKS = st.lists(st.sets(st.sampled_from("abcdefghijkl"), min_size=1, max_size=3), max_size=12)


@given(WORKS, st.integers(1, 5))
def test_works_are_divided_whole_and_evenly(works: list[set[str]], count: int) -> None:
    shares = divide(works, count)
    assert len(shares) == count
    assert sorted(place for share in shares for place in share) == list(range(len(works)))
    assert all(share == sorted(share) for share in shares)
    keys = [set[str]().union(*(works[place] for place in share)) for share in shares]
    distinct = set[str]().union(*works)
    assert sum(map(len, keys)) == len(distinct), "no key is computed by two processes"
    largest = max((len(group) for group in _groups(works)), default=0)
    assert max(map(len, keys)) <= len(distinct) / count + largest, "what is given last is smallest"


def _groups(works: list[set[str]]) -> list[set[str]]:
    """Keys that works tie together, by merging until nothing changes."""
    groups: list[set[str]] = []
    for work in works:
        tied = [group for group in groups if group & work]
        groups = [group for group in groups if not group & work] + [work.union(*tied)]
    return groups


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=9), st.integers(1, 4))
def test_batches_hold_every_item_in_order(items: Mapping[str, int], size: int) -> None:
    batches = in_batches(items, size)
    assert [pair for batch in batches for pair in batch.items()] == list(items.items())
    assert all(len(batch) == size for batch in batches[:-1])
