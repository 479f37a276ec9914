"""Run a sweep: queue what is not there yet, wait for it, keep going past failures."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dvc.repo import Repo
from tqdm import tqdm

from refract.experiments.ablation.experiment_queue import (
    FAILED,
    QUEUED,
    RUNNING,
    SUCCESS,
    ExperimentQueue,
    QueueStatus,
)
from refract.experiments.ablation.grids import Grid
from refract.experiments.ablation.manifest import Sweep
from refract.experiments.ablation.points import Point, find_origin, make_points

logger = logging.getLogger(__name__)

# A look costs a second of the processor's time: seldom in a long sweep, often at its start.
_LEAST_PAUSE_S, _MOST_PAUSE_S, _PAUSE_SHARE = 1.0, 30.0, 0.05
_GONE_LOOKS = 4  # moving from place to place an experiment may be in none for a moment
_LOST_LOOKS = 5  # without an answer: a busy machine answers late
_PATIENCE_S = 60.0  # without an answer, before a worker is thought dead


def run_sweep(repo: Repo, name: str, grid: Grid, params_path: Path, jobs: int) -> Sweep:
    """Every point of a grid as a finished experiment, or with the error that it ended with.

    Experiments of the same commit, uncommitted changes and settings are taken as they are; those
    still queued or running from an earlier call are waited for. On Ctrl-C the queue is emptied of
    this sweep and its experiments are stopped: finished items lie in the item store, so a second
    call goes on from there.

    Raises InputError: what `find_origin` and `ExperimentQueue.put` refuse.
    """
    origin = find_origin(repo)
    points = make_points(name, grid, origin, params_path)
    queue = ExperimentQueue(Path(repo.root_dir))
    logger.info("%s: %d experiments at %s", name, len(points), origin)
    try:
        points = enqueue(queue, points, origin.commit)
        points = wait(queue, points, jobs, name)
    except KeyboardInterrupt:
        logger.warning("stopping; the same command goes on where this one ended")
        queue.stop(point.experiment for point in points)
        raise
    return Sweep(grid=name, origin=origin, points=tuple(points))


def enqueue(queue: ExperimentQueue, points: Sequence[Point], commit: str) -> list[Point]:
    """Queue the points that are neither finished nor on their way."""
    status = without_lost(queue, [point.experiment for point in points])
    finished = queue.finished(commit)  # after the status, between which one may end
    points = [_reusing(point, finished) for point in points]
    names = [point.experiment for point in points]
    for point in tqdm(points, desc="queueing", unit="experiment", leave=False):
        word = status.tasks.get(point.experiment)
        if point.reused or word in (QUEUED, RUNNING):
            continue
        if word is not None:
            queue.forget(point.experiment)
        queue.put(point.experiment, point.overrides)
    if reused := sum(point.reused for point in points):
        logger.info("%d of %d experiments are there from earlier", reused, len(points))
    others = [name for name in status.named(QUEUED, status.tasks) if name not in names]
    if others:
        logger.warning("the queue also holds %s; the workers run them too", ", ".join(others))
    return points


def without_lost(queue: ExperimentQueue, names: Sequence[str]) -> QueueStatus:
    """The queue's status, after a stop to what would "run" for ever as its worker died.

    A reboot leaves such. No worker answers then, however often it is asked.
    """
    for _ in range(_LOST_LOOKS):
        status = queue.status()
        lost = status.named(RUNNING, names)
        if not lost or status.active:
            return status
    logger.info("%s lost their worker; they start anew", ", ".join(lost))
    queue.stop(lost)
    return queue.status()


def _reusing(point: Point, finished: set[str]) -> Point:
    """The point as its finished experiment, or another sweep's of the same settings, if any."""
    ending = f"-{point.experiment.rpartition('-')[2]}"
    same = sorted(name for name in finished if name.endswith(ending))
    if not same:
        return point
    twin = point.experiment if point.experiment in same else same[0]
    return point.model_copy(update={"experiment": twin, "reused": True})


def wait(queue: ExperimentQueue, points: Sequence[Point], jobs: int, title: str) -> list[Point]:
    """The points when all have ended, with errors where they failed."""
    pending = {point.experiment: point for point in points if not point.reused}
    ended = {str(point): point for point in points if point.reused}  # two may share one
    watch, start = Watch(), time.monotonic()
    with tqdm(total=len(points), initial=len(ended), desc=title, unit="experiment") as progress:
        while pending:
            status = queue.status()
            for name, error in watch.over(queue, status, list(pending)).items():
                point = pending.pop(name)
                ended[str(point)] = point.model_copy(update={"error": error})
                progress.update()
                if error:  # at once: the others may take hours yet
                    tqdm.write(f"{point} failed: {error} (dvc queue logs {name})")
            running = [str(pending[name]) for name in status.named(RUNNING, pending)]
            state = f"running {', '.join(running) or 'none'}"
            progress.set_postfix_str(state, refresh=state != progress.postfix)
            if status.named(QUEUED, pending) and status.active + status.idle < jobs:
                queue.start_workers(jobs)
            if pending:
                time.sleep(pause(time.monotonic() - start))
    return [ended[str(point)] for point in points]


def pause(elapsed: float) -> float:
    """Seconds to the next look, so many seconds after the first."""
    return min(max(_LEAST_PAUSE_S, _PAUSE_SHARE * elapsed), _MOST_PAUSE_S)


class Watch:
    """Tells from look to look which experiments are over."""

    def __init__(self) -> None:
        self._gone = Counter[str]()  # looks in a row that an experiment was nowhere
        self._answered = time.monotonic()  # when a worker last said that it works, or need not

    def over(
        self, queue: ExperimentQueue, status: QueueStatus, names: Sequence[str]
    ) -> dict[str, str]:
        """Those of `names` that have ended, with the error they ended with or an empty text.

        Those whose worker died are stopped. They are not queued again: the working tree may be
        another by now.
        """
        running = status.named(RUNNING, names)
        if status.active or not running:
            self._answered = time.monotonic()
        elif time.monotonic() - self._answered > _PATIENCE_S:
            queue.stop(running)
            return dict.fromkeys(running, "its worker died; run the sweep again")
        for name in names:
            self._gone[name] = 0 if name in status.tasks else self._gone[name] + 1
        gone = [name for name in names if self._gone[name] >= _GONE_LOOKS]
        failed = {name: queue.error_of(name) for name in (*status.named(FAILED, names), *gone)}
        return dict.fromkeys(status.named(SUCCESS, names), "") | failed
