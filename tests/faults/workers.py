"""Several at once over one store: racing processes, racing stages, DVC's queue beside a repro."""

import logging
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML

from refract.base.atomic import TEMPORARY_PREFIX
from refract.pipeline.item_store import find_damage, hash_file
from refract.pipeline.store import find_slots
from tests.faults.row import Row
from tests.faults.store_race import race
from tests.faults.tiny_pipeline import TinyPipeline
from tests.stage_process import Done
from tests.tiny.world import OUTPUTS, STAGES, World, sound_world

TITLE = "Several at once"
_ROUNDS = {False: 40, True: 500}
_WORKERS = {False: 2, True: 3}
_STRENGTHS = {"weak": "0.5", "strong": "2.0"}  # experiments of the queue, both from one training
_TRAINED = "training on "  # what a training says that does not find its result
_TRAINING = "train_ir_adapter"
_WORKERS_END_S = 1800.0

logger = logging.getLogger(__name__)


def run(seed: int, long: bool) -> list[Row]:
    """`seed` is not used: nothing here is drawn."""
    with tempfile.TemporaryDirectory(prefix="refract-workers-") as name:
        home = Path(name)
        count, wrong = race(home / "race", _ROUNDS[long], 4)
        rows = [Row("a slot taken by 4 processes at once", count, "the right bytes", wrong)]
        rows += _stages(home, STAGES if long else (_TRAINING,), _WORKERS[long])
        if long:
            rows += _queue(home)
    return rows


def _stages(home: Path, stages: tuple[str, ...], workers: int) -> list[Row]:
    """Each stage, several times at once over one empty store."""
    sound = sound_world(home / "sound", STAGES[: STAGES.index(stages[-1]) + 1])
    lost, trainings = 0, 0
    for stage in stages:
        state = home / f"state_{stage}"
        state.mkdir()
        worlds = [_on_store(sound, home / f"{stage}_{n}", state) for n in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            ended = list(pool.map(partial(World.run, stage=stage), worlds))
        lost += sum(
            not _is_sound(done, world, sound, stage)
            for done, world in zip(ended, worlds, strict=True)
        )
        lost += _damaged(state)
        trainings += sum(_TRAINED in done.stderr for done in ended)
    return [
        Row(
            f"a stage started {workers} times at once over one store", workers * len(stages),
            "the bytes of one alone; store whole", lost,
        ),
        Row(
            f"the same training wanted {workers} times at once", workers,
            f"trained {_times(trainings)}", abs(trainings - 1),
        ),
    ]  # fmt: skip


def _queue(home: Path) -> list[Row]:
    """Two queued experiments by two of DVC's workers beside `dvc repro`, and one after another."""
    fresh = TinyPipeline.create(home / "fresh")
    after, beside = fresh.copy_to(home / "after"), fresh.copy_to(home / "beside")
    after.dvc("repro")
    expected = {"workspace": _results(after.folder, "")}
    for name, strength in _STRENGTHS.items():
        after.dvc("exp", "run", "-S", f"ref_strength={strength}", "-n", name)
        expected[name] = _results(after.folder, name)
    for name, strength in _STRENGTHS.items():
        beside.dvc("exp", "run", "--queue", "-S", f"ref_strength={strength}", "-n", name)
    beside.dvc("queue", "start", "-j", "2")
    log = home / "repro.txt"
    failed = beside.start("repro", log=log).wait() != 0
    left = beside.orphans(patience=_WORKERS_END_S)  # they end by themselves when all is done
    found = {"workspace": _results(beside.folder, "")}
    found |= {name: _results(beside.folder, name) for name in _STRENGTHS}
    differing = [name for name in expected if found[name] != expected[name]]
    if failed or differing or left:
        logger.warning("%s differ; left %s; repro: %s", differing, left, log.read_text()[-2000:])
    said = [log.read_text(), *(path.read_text() for path in _worker_logs(beside))]
    trainings = sum(text.count(_TRAINED) for text in said)
    return [
        Row(
            "two queue workers and `dvc repro` at once", len(expected),
            "results of one after another",
            failed + len(left) + len(differing) + _damaged(beside.state),
        ),
        Row(
            "the one training that these three want", len(expected),
            f"trained {_times(trainings)}", abs(trainings - 1),
        ),
    ]  # fmt: skip


class _Results(NamedTuple):
    """What a run has recorded: outputs by DVC's hashes, and the metrics."""

    outputs: dict[str, str]
    edit: str
    infrared: str


def _results(repo: Path, experiment: str) -> _Results | None:
    """Of a finished experiment, or of the workspace (`""`); None where there is none."""
    commits = _experiments(repo)
    if experiment and experiment not in commits:
        return None
    read = partial(_read, repo, commits.get(experiment))
    lock = YAML(typ="safe").load(read("dvc.lock"))
    outputs = {
        out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]
    }
    return _Results(outputs, read("metrics/edit.json"), read("metrics/infrared.json"))


def _read(repo: Path, commit: str | None, name: str) -> str:
    if commit is None:
        return (repo / name).read_text()
    command = ["git", "-C", str(repo), "show", f"{commit}:{name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _experiments(repo: Path) -> dict[str, str]:
    """The commits of the finished experiments by their names."""
    form = "--format=%(refname:lstrip=-1) %(objectname)"
    command = ["git", "-C", str(repo), "for-each-ref", form, "refs/exps"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: commit for name, commit in (line.split() for line in lines)}


def _worker_logs(pipeline: TinyPipeline) -> list[Path]:
    return sorted((pipeline.folder / ".dvc" / "tmp" / "exps" / "run").rglob("*.out"))


def _on_store(sound: World, folder: Path, state: Path) -> World:
    """A copy of the world that shares `state` with others and holds none of a stage's outputs."""
    world = sound.copy_to(folder, empty_store=True)
    world.path("state").symlink_to(state)
    return world


def _is_sound(done: Done, world: World, sound: World, stage: str) -> bool:
    same = all(_hashes(world.out(name)) == _hashes(sound.out(name)) for name in OUTPUTS[stage])
    if done.returncode or not same:
        logger.warning(
            "%s: exit %s, same %s\n%s", stage, done.returncode, same, done.stderr[-2000:]
        )
    return done.returncode == 0 and same


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in files}


def _damaged(state: Path) -> int:
    """Slots that are not whole, and what nobody has cleared away."""
    slots = [slot for slot in find_slots(state) if find_damage(slot.path, contents=True)]
    return len(slots) + len(list(state.glob(f"*/{TEMPORARY_PREFIX}*")))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
