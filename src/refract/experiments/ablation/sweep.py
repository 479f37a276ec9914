"""Run a sweep: queue what is not there yet, wait for it, keep going past failures."""

import logging
import time
from dataclasses import replace
from pathlib import Path

from dvc.repo import Repo
from tqdm import tqdm

from refract.experiments.ablation.experiment_queue import ExperimentQueue
from refract.experiments.ablation.grids import Grid
from refract.experiments.ablation.manifest import Sweep
from refract.experiments.ablation.points import Point, find_origin, make_points

logger = logging.getLogger(__name__)

_POLL_S = 1.0
_GONE_POLLS = 4  # moving from place to place an experiment may be in none for a moment
_CARE_S = 20.0  # between looks at whether there are workers at all
_PATIENCE_S = 60.0  # without a process, before a worker is thought dead


def run_sweep(repo: Repo, name: str, grid: Grid, params_path: Path, jobs: int) -> Sweep:
    """Every point of a grid as a finished experiment, or with the error that it ended with.

    Experiments of the same commit, uncommitted changes and settings are taken as they are; those
    still queued or running from an earlier call are waited for. On Ctrl-C the queue is emptied of
    this sweep and its experiments are stopped: finished items lie in the item store, so a second
    call goes on from there.

    Raises:
        InputError: what `find_origin` and `ExperimentQueue.put` refuse.
    """
    origin = find_origin(repo)
    points = make_points(name, grid, origin, params_path)
    queue = ExperimentQueue(repo, origin.commit)
    logger.info("%s: %d points at %s", name, len(points), origin)
    try:
        points = enqueue(queue, points)
        points = wait(queue, points, jobs, name)
    except KeyboardInterrupt:
        logger.warning("stopping; the same command goes on where this one ended")
        queue.stop([point.experiment for point in points])
        raise
    return Sweep(name, origin, points)


def enqueue(queue: ExperimentQueue, points: list[Point]) -> list[Point]:
    """Queue the points that are neither finished nor on their way."""
    points = [_or_twin(queue, point) for point in points]
    names = [point.experiment for point in points]
    states = queue.states(names)
    lost = queue.lost(names)
    if lost:
        logger.info("%s lost their worker; they start anew", ", ".join(lost))
        queue.stop(lost)
        states = queue.states(names)
    done = []
    for point in tqdm(points, desc="queueing", unit="point", leave=False):
        if states[point.experiment] == "gone":
            queue.put(point.experiment, point.overrides)
        done.append(replace(point, reused=states[point.experiment] == "finished"))
    reused = sum(point.reused for point in done)
    if reused:
        logger.info("%d of %d points are there from earlier", reused, len(done))
    others = queue.others(names)
    if others:
        logger.warning("the queue also holds %s; the workers run them too", ", ".join(others))
    return done


def _or_twin(queue: ExperimentQueue, point: Point) -> Point:
    """The point as another sweep's finished experiment of the same settings, if there is one."""
    if queue.revision(point.experiment) is not None:
        return point
    return replace(point, experiment=queue.twin(point.experiment) or point.experiment)


def wait(queue: ExperimentQueue, points: list[Point], jobs: int, title: str) -> list[Point]:
    """The points when all have ended, with errors where they failed."""
    pending = {point.experiment: point for point in points if not point.reused}
    ended = {point.label: point for point in points if point.reused}  # two may share one
    gone = dict.fromkeys(pending, 0)
    cared, lost = float("-inf"), set[str]()
    with tqdm(total=len(points), initial=len(ended), desc=title, unit="point") as progress:
        while pending:
            states = queue.states(list(pending))
            for name, state in states.items():
                gone[name] = gone[name] + 1 if state == "gone" else 0
                if state == "finished" or gone[name] >= _GONE_POLLS:
                    point = pending.pop(name)
                    ended[point.label] = _end(queue, point, state == "finished", name in lost)
                    progress.update()
            running = [pending[name].label for name in pending if states[name] == "running"]
            told = f"running {', '.join(running) or 'none'}"
            progress.set_postfix_str(told, refresh=told != progress.postfix)
            if pending and time.monotonic() - cared > _CARE_S:
                lost |= _care(queue, list(pending), jobs)
                cared = time.monotonic()
            elif pending:
                time.sleep(_POLL_S)
    return [ended[point.label] for point in points]


def _end(queue: ExperimentQueue, point: Point, finished: bool, lost: bool) -> Point:
    if finished:
        return point
    error = "its worker died; run the sweep again" if lost else queue.error_of(point.experiment)
    # Beside the progress bar, at once: the others may take hours yet.
    tqdm.write(f"{point.label} failed: {error} (dvc queue logs {point.experiment})")
    return point.failed(error)


def _care(queue: ExperimentQueue, names: list[str], jobs: int) -> set[str]:
    """Start workers that are missing; stop experiments whose worker died, and return those.

    They are not queued again here: the working tree may be another by now.
    """
    lost = queue.lost(names, _PATIENCE_S)
    if lost:
        queue.stop(lost)
    if "queued" in queue.states(names).values():
        queue.start_workers(jobs)
    return set(lost)
