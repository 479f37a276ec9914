"""A sweep on real DVC: queue, failure, tables, reuse; and how it waits, on a stand-in queue."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc.repo import Repo

from refract.base.errors import InputError
from refract.evaluation.measures.bootstrap import Resampling
from refract.experiments.ablation import sweep as sweeping
from refract.experiments.ablation.collect import collect_items
from refract.experiments.ablation.experiment_queue import (
    FAILED,
    QUEUED,
    RUNNING,
    SUCCESS,
    ExperimentQueue,
    QueueStatus,
    parse_status,
    telling_line,
)
from refract.experiments.ablation.grids import Axis, Grid
from refract.experiments.ablation.manifest import Sweep, read_sweep
from refract.experiments.ablation.points import Point, find_origin
from refract.experiments.ablation.report import write_sweep_report
from refract.experiments.ablation.sweep import enqueue, pause, run_sweep, wait
from refract.experiments.compare.experiments import compare
from refract.experiments.compare.revisions import find_revision, open_repository
from tests.tiny.repository import make_repository, run_git


def strengths(*values: float) -> Grid:
    return Grid(
        title="Strength",
        about="how strongly",
        half="edit",
        axis=Axis(name="ref_strength", kind="numeric"),
        common={"edit.words": ["blue mug", "cup"]},
        points={str(value): {"ref_strength": value} for value in values},
    )


@dataclass(frozen=True)
class Done:
    """The repository after one sweep over 1.0 (as it stands), 0.5 and 9 (which fails)."""

    repo: Repo
    log: Path
    sweep: Sweep


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    base = tmp_path_factory.mktemp("sweep")
    folder = make_repository(base / "repository", base / "runs.log")
    stage = folder / "stage.py"
    stage.write_text(stage.read_text() + "# not committed\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PATH", os.environ["PATH"])
        with open_repository(Path()) as repo:
            grid = strengths(1.0, 0.5, 9.0)
            yield Done(
                repo,
                base / "runs.log",
                run_sweep(repo, "strength", grid, Path("params.yaml"), jobs=2),
            )


def test_a_sweep_runs_every_point_and_names_the_failed(done: Done) -> None:
    assert sorted(done.log.read_text().splitlines()) == [
        f"{strength} ['blue mug', 'cup']" for strength in ("0.5", "1.0", "9.0")
    ]
    assert {point.label: point.error for point in done.sweep.points} == {
        "1.0": "",
        "0.5": "",
        "9.0": "refract flowalign_edit: error: ref_strength = 9: too much",
    }
    assert [point.as_present for point in done.sweep.points] == [True, False, False]
    assert done.sweep.origin.changed == ("stage.py",)


def test_the_working_tree_is_left_as_it_was(done: Done) -> None:
    root = Path(done.repo.root_dir)
    assert (root / "stage.py").read_text().endswith("# not committed\n")
    assert "ref_strength: 1.0  # a comment\n" in (root / "params.yaml").read_text()
    assert not (root / "out").exists()


def test_finished_points_are_reused(done: Done) -> None:
    before = done.log.read_text()
    again = run_sweep(done.repo, "strength", strengths(1.0, 0.5), Path("params.yaml"), jobs=1)
    assert [point.reused for point in again.points] == [True, True]
    other = run_sweep(done.repo, "other", strengths(0.5), Path("params.yaml"), jobs=1)
    assert [point.experiment for point in other.points] == [again.points[1].experiment]
    assert done.log.read_text() == before


def test_what_is_collected_becomes_the_report(done: Done, tmp_path: Path) -> None:
    items = collect_items(done.repo, done.sweep, "edit")
    assert len(items) == 2 * 8 * 2 * 2  # points, cases, variants, metrics
    folder = tmp_path / "report"
    write_sweep_report(done.sweep, strengths(1.0, 0.5, 9.0), items, Resampling(200), folder)
    summary = pd.read_csv(folder / "summary.csv", dtype={"row": str})
    overlap = summary[summary["metric"] == "product.histogram_overlap"].set_index("row")["mean"]
    expected = {"1.0": 0.505, "0.5": 0.3375, "plain": 0.17}
    assert overlap.to_dict() == pytest.approx(expected)
    assert read_sweep(folder) == done.sweep
    text = (folder / "report.md").read_text()
    assert re.search(r"\| 9\.0 +\| – +\| – ", text)
    assert "- 9.0: refract flowalign_edit: error: ref_strength = 9: too much" in text
    assert "with uncommitted changes of stage.py" in text


def test_two_of_its_experiments_compare(done: Done) -> None:
    names = [point.experiment for point in done.sweep.points]
    a, b = (find_revision(done.repo, name) for name in names[:2])
    found = compare(done.repo, a, b, ["edit", "infrared"], Resampling(200))
    assert found.settings == {"ref_strength": (1.0, 0.5)}
    assert found.files == []
    verdicts = {d.metric: d.verdict for d in found.halves["edit"]}
    assert verdicts == {"background.psnr": "better", "product.histogram_overlap": "worse"}
    head = find_revision(done.repo, "HEAD")
    with pytest.raises(InputError, match=r"HEAD \(.{7}\) has no out/plots/edit_cases.csv"):
        compare(done.repo, a, head, ["edit"], Resampling(200))


def test_a_missing_experiment_is_named(done: Done) -> None:
    sweep = done.sweep.model_copy(update={"points": (_point("1.0", "strength-1.0-gone"),)})
    with pytest.raises(InputError, match=r"experiment strength-1.0-gone is gone; run the sweep"):
        collect_items(done.repo, sweep, "edit")
    sweep = done.sweep.model_copy(update={"points": (_point("1.0", "x", error="it broke"),)})
    with pytest.raises(InputError, match="all 1 points failed"):
        collect_items(done.repo, sweep, "edit")


def test_an_untracked_input_is_refused(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repository", tmp_path / "log")
    pipeline = folder / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("[stage.py]", "[stage.py, new.py]"))
    (folder / "new.py").write_text("")
    (folder / "note.txt").write_text("")  # no input, hence no matter
    with open_repository(folder) as repo, pytest.raises(InputError, match=r"new.py: git does not"):
        find_origin(repo)
    run_git(folder, "add", "new.py")
    with open_repository(folder) as repo:
        assert find_origin(repo).changed == ("dvc.yaml", "new.py")
    (folder / "src").mkdir()
    (folder / "src" / "plumbing.py").write_text("")
    with open_repository(folder) as repo, pytest.raises(InputError, match=r"src/plumbing.py: git"):
        find_origin(repo)


class Script(ExperimentQueue):
    """In place of the queue: what each look finds, the last for ever, and what was asked of it."""

    def __init__(self, *looks: dict[str, str], active: int = 1, there: Iterable[str] = ()) -> None:
        self.looks, self.active, self.there = list(looks), active, set(there)
        self.asked: list[str] = []

    def status(self) -> QueueStatus:
        tasks = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return QueueStatus(tasks, self.active, 0)

    def finished(self, commit: str) -> set[str]:
        return self.there

    def start_workers(self, jobs: int) -> None:
        self.asked.append(f"start {jobs}")

    def put(self, name: str, overrides: Mapping[str, Any]) -> None:
        self.asked.append(f"put {name}")

    def forget(self, name: str) -> None:
        self.asked.append(f"forget {name}")

    def stop(self, names: Iterable[str]) -> None:
        self.asked.append(f"stop {' '.join(names)}")

    def error_of(self, name: str) -> str:
        return f"error of {name}"


def _point(label: str, experiment: str, **known: Any) -> Point:
    return Point(label=label, overrides={}, experiment=experiment, as_present=False, **known)


POINTS = [_point("a", "a"), _point("b", "b")]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "pause", lambda elapsed: 0.0)


def test_a_moment_out_of_sight_is_no_failure(hasty: None) -> None:
    script = Script(
        {"a": QUEUED, "b": QUEUED},
        {"b": QUEUED},
        {"a": RUNNING, "b": QUEUED},
        {"a": SUCCESS},
        {"a": SUCCESS, "b": RUNNING},
        {"a": SUCCESS, "b": SUCCESS},
    )
    assert wait(script, POINTS, 1, "t") == POINTS
    assert script.asked == []


def test_workers_are_started_while_there_are_too_few(hasty: None) -> None:
    script = Script({"a": QUEUED, "b": RUNNING}, {"a": SUCCESS, "b": SUCCESS})
    assert wait(script, POINTS, 2, "t") == POINTS
    assert script.asked == ["start 2"]


def test_what_fails_or_stays_away_has_failed_and_the_other_goes_on(hasty: None) -> None:
    for word in ({"a": FAILED}, {}):
        script = Script(*[{**word, "b": RUNNING}] * 8, {**word, "b": SUCCESS})
        assert [point.error for point in wait(script, POINTS, 1, "t")] == ["error of a", ""]


def test_points_that_share_an_experiment_stay_apart() -> None:
    shared = [_point(label, "same", reused=True) for label in "xy"]
    assert wait(Script({}), shared, 1, "t") == shared


def test_seeds_of_a_point_stay_apart(hasty: None) -> None:
    points = [_point("x", name, seed=seed) for seed, name in enumerate("ab")]
    script = Script({"a": SUCCESS, "b": FAILED})
    assert [point.error for point in wait(script, points, 1, "t")] == ["", "error of b"]


def test_an_experiment_whose_worker_died_is_stopped(
    hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_PATIENCE_S", 0.0)
    script = Script({"a": RUNNING, "b": SUCCESS}, {"b": SUCCESS}, active=0)
    told = ["its worker died; run the sweep again", ""]
    assert [point.error for point in wait(script, POINTS, 0, "t")] == told
    assert script.asked == ["stop a"]


def test_only_what_is_not_there_yet_is_queued() -> None:
    names = ("done-a", "mine-b", "on-its-way-c", "failed-d", "new-e")
    points = [_point(name[-1], name) for name in names]
    there = ("done-a", "other-b")
    script = Script({"on-its-way-c": RUNNING, "failed-d": FAILED}, there=there)
    queued = enqueue(script, points, "c" * 40)
    assert [point.reused for point in queued] == [True, True, False, False, False]
    assert queued[1].experiment == "other-b"  # of the same settings, by another sweep
    assert script.asked == ["forget failed-d", "put failed-d", "put new-e"]


def test_what_lost_its_worker_starts_anew() -> None:
    script = Script(*[{"on-its-way-c": RUNNING}] * 5, {"on-its-way-c": FAILED}, active=0)
    enqueue(script, [_point("c", "on-its-way-c")], "c" * 40)
    assert script.asked == ["stop on-its-way-c", "forget on-its-way-c", "put on-its-way-c"]


def test_looks_become_seldom_in_a_long_sweep() -> None:
    assert [pause(elapsed) for elapsed in (0, 100, 3600)] == [1, 5, 30]


def test_ctrl_c_stops_what_is_on_its_way(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script({})
    monkeypatch.setattr(sweeping, "make_points", lambda *given: POINTS)
    monkeypatch.setattr(sweeping, "ExperimentQueue", lambda *given: script)

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(done.repo, "t", strengths(1.0), tmp_path, 1)
    assert script.asked == ["put a", "put b", "stop a b"]


def test_the_status_is_read_as_dvc_prints_it() -> None:
    text = """Task     Name               Created    Status
7dcd2a1  strength-9-1a2b    07:04 AM   Running
0011223  s_-x.y=1+2-3c4d    Nov 30, 2026  Failed
aabbccd  a-1-5e6f           07:05 AM   Queued

Worker status: 1 active, 2 idle
"""
    tasks = {"strength-9-1a2b": RUNNING, "s_-x.y=1+2-3c4d": FAILED, "a-1-5e6f": QUEUED}
    assert parse_status(text) == QueueStatus(tasks, 1, 2)
    empty = "No experiment tasks in the queue.\n\nWorker status: 0 active, 0 idle\n"
    assert parse_status(empty) == QueueStatus({}, 0, 0)
    with pytest.raises(InputError, match="says nothing of workers"):
        parse_status("something else")


def test_what_dvc_refuses_is_told_in_its_words(done: Done) -> None:
    queue = ExperimentQueue(Path(done.repo.root_dir))
    with pytest.raises(InputError, match=r"dvc exp run: .*no_such"):
        queue.put("x-1", {"no_such.key": 1})
    assert "x-1" not in queue.status().tasks


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("x\nrefract edit: error: no\nERROR: failed: exited\n", "refract edit: error: no"),
        ("x\nERROR: failed to reproduce\nlast\n", "ERROR: failed to reproduce"),
        ("Traceback\nKilled\n\n", "Killed"),
        ("", "its log is empty"),
    ],
)  # fmt: skip
def test_the_line_that_tells(log: str, told: str) -> None:
    assert telling_line(log) == told
