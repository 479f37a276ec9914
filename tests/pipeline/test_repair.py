"""Cut anywhere, DVC's two files are mended into what DVC takes."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from refract.base.errors import InputError
from refract.pipeline.repair import is_half_lock, is_half_rwlock, repair

ROOT = Path(__file__).parents[2]
LOCK = """schema: '2.0'
stages:
  infer_ir:
    cmd: exec python -m stages.infer_ir
    deps:
    - path: src/refract/base/atomic.py
      hash: md5
      md5: fc239bfcba0cfd071e68b652de456f86
      size: 2028
    params:
      params.yaml:
        infer_ir.prompt: 'a photo: day'
    outs:
    - path: out/infrared
      hash: md5
      md5: 69c8cd56e7e12825ba911f6bbe77fb53.dir
      size: 6002
      nfiles: 2
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def add(repo: Path, text: str) -> None:
    (repo / "dvc.lock").write_text(text)
    subprocess.run(["git", "add", "dvc.lock"], cwd=repo, check=True)


def commit(repo: Path, text: str) -> None:
    add(repo, text)
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    subprocess.run(["git", *identity, "commit", "-qm", "lock"], cwd=repo, check=True)


@given(length=st.integers(0, len(LOCK)))
@example(length=LOCK.index("stages") - 1)  # whole for DVC, with no stage yet
def test_a_lock_cut_anywhere_is_whole_for_dvc_or_called_half(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    path = tmp_path_factory.mktemp("lock") / "dvc.lock"
    path.write_text(LOCK[:length])
    if not is_half_lock(path):
        taken = COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(path.read_text()))
        assert taken["schema"] == "2.0" and set(taken.get("stages", {})) <= {"infer_ir"}


def test_the_repositorys_own_lock_is_whole_and_its_half_is_not(tmp_path: Path) -> None:
    assert not is_half_lock(ROOT / "dvc.lock")
    assert not is_half_lock(tmp_path / "dvc.lock"), "none is needed"
    (tmp_path / "dvc.lock").touch()
    assert is_half_lock(tmp_path / "dvc.lock")


@pytest.mark.parametrize("added", [LOCK, LOCK[:40]], ids=["whole", "half"])
def test_the_lock_in_gits_index_takes_the_place_where_it_is_whole(repo: Path, added: str) -> None:
    committed = LOCK.replace("2028", "2029")
    commit(repo, committed)
    add(repo, added)
    (repo / "dvc.lock").write_text("schema: '2")
    (line,) = repair(repo, patience=0)
    assert "dvc.lock" in line and "git" in line
    assert (repo / "dvc.lock").read_text() == (LOCK if added == LOCK else committed)


def test_the_committed_lock_takes_the_place_of_a_half_one(repo: Path) -> None:
    commit(repo, LOCK)
    assert repair(repo, patience=0) == []
    (repo / "dvc.lock").write_text(LOCK[:40])
    (line,) = repair(repo, patience=0)
    assert "dvc.lock" in line and "to git stands in its place" in line
    assert (repo / "dvc.lock").read_text() == LOCK


def test_a_half_lock_goes_where_none_is_committed(repo: Path) -> None:
    (repo / "dvc.lock").touch()
    assert "removed" in repair(repo, patience=0)[0]
    assert not (repo / "dvc.lock").exists()


@pytest.mark.parametrize("text", ["", '{"read": {"out": [', "[]"])
def test_a_half_rwlock_is_removed_and_a_whole_one_kept(repo: Path, text: str) -> None:
    path = repo / ".dvc" / "tmp" / "rwlock"
    path.write_text('{"read": {}}')
    assert repair(repo, patience=0) == [] and path.is_file()
    path.write_text(text)
    assert is_half_rwlock(path)
    assert "rwlock" in repair(repo, patience=0)[0] and not path.exists()


def test_a_lock_that_a_living_dvc_writes_is_left_alone(repo: Path) -> None:
    owner = {"pid": os.getpid(), "cmd": "dvc repro"}
    (repo / ".dvc" / "tmp" / "rwlock").write_text(json.dumps({"write": {"out": owner}}))
    (repo / "dvc.lock").write_text("schema: '2")
    with pytest.raises(InputError, match="half-written"):
        repair(repo, patience=0)
    assert (repo / "dvc.lock").read_text() == "schema: '2"
