"""Generated infrared pictures against the truth, beside the baselines and the wrong-map runs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refract.base.on_demand import OnDemand
from refract.evaluation.infrared.baselines import Baseline, fit_baselines, has_semantics
from refract.evaluation.infrared.class_error import ClassErrors, class_errors
from refract.evaluation.infrared.scenes import Gray, TrueScene, load_scenes, predictions
from refract.evaluation.infrared.score_store import SceneMeasures
from refract.evaluation.infrared.scores import Scores, as_rgb, score_pictures
from refract.evaluation.infrared.semantic_classes import find_classes, load_palette
from refract.evaluation.infrared.targets import COUNTS, target_intervals
from refract.evaluation.judge import Judge
from refract.evaluation.measures.bootstrap import Interval, Resampling
from refract.evaluation.measures.metrics_file import Tree, put, put_interval
from refract.evaluation.measures.set_distance import SetDistances, set_distances
from refract.evaluation.measuring import measure_side_by_side
from refract.evaluation.variants import CONTROLS, RUN
from refract.pipeline.item_store import ItemStore

logger = logging.getLogger(__name__)

_DAY_AND_NIGHT = ("day", "night")
CLASS_COLUMNS = ("variant", "class", "scenes", "pixels", "l1", "l1_low", "l1_high")


@dataclass(frozen=True)
class InfraredEvaluation:
    """What was compared and how it scored; `scores` and `pictures` by variant.

    classes: None where no semantic map tells classes apart. distances: None without scenes.
    """

    scenes: Sequence[TrueScene]
    pictures: Mapping[str, Sequence[Gray]] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)
    classes: ClassErrors | None = None
    distances: SetDistances | None = None


def collect_pictures(
    triptychs: Path, infrared: Path, scenes: Sequence[TrueScene]
) -> dict[str, Sequence[Gray]]:
    """Pictures by variant: the run, its controls (those that were made) and the baselines.

    Each is read or made when it is asked for.

    Raises InputError: a missing picture or one of the wrong shape.
    """
    pictures = {RUN: predictions(infrared / RUN, scenes)}
    for name in CONTROLS:
        if (infrared / name).is_dir():
            pictures[name] = predictions(infrared / name, scenes)
        else:
            logger.warning("%s: not there; baseline.%s is left out", infrared / name, name)
    for name, answer in fit_baselines(load_scenes(triptychs, "train")).items():
        pictures[name] = _answers(answer, scenes)
    return pictures


def _answers(answer: Baseline, scenes: Sequence[TrueScene]) -> Sequence[Gray]:
    return OnDemand(len(scenes), lambda place: answer(scenes[place]))


def _shown(pictures: Sequence[Gray]) -> Sequence[NDArray[np.uint8]]:
    """Pictures with three equal channels."""
    return OnDemand(len(pictures), lambda place: as_rgb(pictures[place]))


def evaluate_infrared(
    triptychs: Path, infrared: Path, judge: Judge, store: ItemStore
) -> InfraredEvaluation:
    """Score every variant on the test scenes that have a truth; empty where none has."""
    scenes = load_scenes(triptychs, "test")
    if not scenes:
        return InfraredEvaluation([])
    pictures = collect_pictures(triptychs, infrared, scenes)
    scorer_of = partial(SceneMeasures, judge=judge, store=store)

    def measure(place: int) -> None:
        scorer = scorer_of(scenes[place])
        for made in pictures.values():
            scorer.measured(made[place])

    measure_side_by_side(measure, len(scenes), store, "infrared metrics")
    scores = score_pictures(scenes, pictures, scorer_of)
    truths = OnDemand(len(scenes), lambda place: scenes[place].infrared)
    classes = None
    if has_semantics(scenes):
        maps = OnDemand(len(scenes), lambda place: scenes[place].semantic)
        semantic = find_classes(maps, load_palette(triptychs))
        classes = class_errors(pictures, truths, maps, semantic)
    sets = {name: _shown(made) for name, made in pictures.items()}
    distances = set_distances(sets, _shown(truths), judge.features)
    return InfraredEvaluation(scenes, pictures, scores, classes, distances)


def infrared_metrics(
    result: InfraredEvaluation, interval: Interval, resampling: Resampling
) -> Tree:
    """The metrics tree: the run's means, `day.` and `night.` apart, and each `baseline.`.

    A baseline also holds `gain_psnr`: the mean paired difference run minus baseline, in dB; the
    one against `best_baseline` stands at the top as `gain_psnr_best`. `resampling` makes the
    intervals of values of the whole set.
    """
    tree: Tree = {"count": len(result.scenes)}
    if not result.scenes:
        return tree
    run = result.scores[RUN]
    _put_scores(tree, "", run, interval, resampling)
    _put_whole(tree, "", result, RUN, resampling)
    if (best := best_baseline(result)) is not None:
        put_interval(tree, "gain_psnr_best", interval(_gains(result, best)))
        put(tree, "best_baseline", best)
    daytimes = [scene.daytime for scene in result.scenes]
    groups = {
        name: [i for i, daytime in enumerate(daytimes) if daytime == name]
        for name in _DAY_AND_NIGHT
    }
    for name, members in groups.items():
        if members:
            put(tree, f"{name}.count", len(members))
            _put_scores(tree, f"{name}.", _of_scenes(run, members), interval, resampling)
            if result.classes is not None:
                errors = result.classes.of_scenes(members)
                put_interval(tree, f"{name}.class_l1", errors.macro_interval(RUN, resampling))
    for variant in result.scores:
        if variant != RUN:
            _put_baseline(tree, result, variant, groups, interval, resampling)
    return tree


def _put_baseline(
    tree: Tree,
    result: InfraredEvaluation,
    variant: str,
    groups: Mapping[str, Sequence[int]],
    interval: Interval,
    resampling: Resampling,
) -> None:
    """What stands under `baseline.<variant>.`; groups: the scenes of each time of day."""
    above, scores = f"baseline.{variant}.", result.scores[variant]
    _put_scores(tree, above, scores, interval, resampling)
    _put_whole(tree, above, result, variant, resampling)
    put_interval(tree, f"{above}gain_psnr", interval(_gains(result, variant)))
    for name, members in groups.items():
        chosen = _of_scenes(scores, members)
        for metric in ("psnr", "ssim"):
            mean = interval(chosen[metric])
            if mean is not None:
                put(tree, f"{above}{name}.{metric}", mean.mean)
        for metric, found in target_intervals(chosen, resampling).items():
            put_interval(tree, f"{above}{name}.{metric}", found)


def best_baseline(result: InfraredEvaluation) -> str | None:
    """The answer without a model that has the highest mean PSNR; None where none was scored."""
    means = {
        variant: float(np.mean(scores["psnr"]))
        for variant, scores in result.scores.items()
        if variant != RUN and variant not in CONTROLS
    }
    return max(means, key=means.__getitem__) if means else None


def infrared_about(result: InfraredEvaluation) -> Tree:
    """What a reader of the metrics must know of the classes and of the sets' distance."""
    about: Tree = {}
    if result.classes is not None:
        names = ", ".join(result.classes.names)
        about["classes"] = f"{result.classes.about}: {names}"
    if result.distances is not None:
        about[result.distances.key] = result.distances.about
    return about


def _of_scenes(scores: Scores, members: Sequence[int]) -> Scores:
    return {metric: [values[i] for i in members] for metric, values in scores.items()}


def _put_scores(
    tree: Tree, above: str, scores: Scores, mean: Interval, resampling: Resampling
) -> None:
    """Means over the scenes; of counts their sums and, in their order, what is made of them."""
    for metric, values in scores.items():
        if metric in COUNTS:
            put(tree, above + metric, int(sum(values)))
        else:
            put_interval(tree, above + metric, mean(values))
    for metric, interval in target_intervals(scores, resampling).items():
        put_interval(tree, above + metric, interval)


def _put_whole(
    tree: Tree, above: str, result: InfraredEvaluation, variant: str, drawn: Resampling
) -> None:
    """The values of the whole set: the error over classes and, if measured, the sets' distance."""
    if result.classes is not None:
        put_interval(tree, f"{above}class_l1", result.classes.macro_interval(variant, drawn))
    if result.distances is not None and variant in result.distances.values:
        put(tree, above + result.distances.key, result.distances.values[variant])


def _gains(result: InfraredEvaluation, variant: str) -> list[float]:
    """PSNR of the run minus that of the variant, scene by scene, dB."""
    pairs = zip(result.scores[RUN]["psnr"], result.scores[variant]["psnr"], strict=True)
    return [ours - theirs for ours, theirs in pairs]


def infrared_rows(result: InfraredEvaluation) -> list[tuple[object, ...]]:
    """Long-format rows: item, daytime, variant, metric, value."""
    items = [(scene.id, scene.daytime) for scene in result.scenes]
    return [
        (*item, variant, metric, value)
        for variant, scores in result.scores.items()
        for metric, values in scores.items()
        for item, value in zip(items, values, strict=True)
    ]


def class_rows(result: InfraredEvaluation, resampling: Resampling) -> list[tuple[object, ...]]:
    """Rows of `CLASS_COLUMNS`: the error of each variant inside each class; none without classes.

    `l1` is a fraction of full scale over all pixels of the class; its interval is over scenes.
    """
    classes, rows = result.classes, list[tuple[object, ...]]()
    if classes is None:
        return rows
    for variant in classes.absolute:
        for place, name in enumerate(classes.names):
            interval = classes.class_interval(variant, place, resampling)
            if interval is not None:
                pixels = int(classes.pixels[:, place].sum())
                values = (interval.mean, interval.low, interval.high)
                rows.append((variant, name, interval.count, pixels, *values))
    return rows
