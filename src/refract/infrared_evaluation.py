"""Generated infrared pictures against the truth, beside the baselines and the wrong-map runs."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from refract.bootstrap import MeanInterval
from refract.image_metrics import l1, psnr, ssim, to_unit
from refract.infrared_baselines import fit_baselines
from refract.infrared_scenes import Gray, Scene, load_predictions, load_scenes
from refract.metrics_file import Tree, put, put_interval
from refract.perceptual import PerceptualDistance

logger = logging.getLogger(__name__)

RUN = "adapter"  # the variant that is the result; every other one is a baseline
CONTROLS = ("shuffled_map", "zero_map")  # the same adapter under a wrong and an empty map
DAYTIMES = ("day", "night")

Interval = Callable[[Sequence[float]], MeanInterval | None]
Scores = dict[str, list[float]]  # metric -> one value a scene, in the order of the scenes


@dataclass(frozen=True)
class InfraredEvaluation:
    """What was compared and how it scored; `scores` and `pictures` by variant."""

    scenes: list[Scene]
    pictures: dict[str, list[Gray]] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)


def collect_pictures(triptychs: Path, infrared: Path, scenes: list[Scene]) -> dict[str, list[Gray]]:
    """Pictures by variant: the run, its controls (those that were made) and the baselines.

    Raises:
        InputError: a missing picture or one of the wrong shape.
    """
    pictures = {RUN: load_predictions(infrared / RUN, scenes)}
    for name in CONTROLS:
        if (infrared / name).is_dir():
            pictures[name] = load_predictions(infrared / name, scenes)
        else:
            logger.warning("%s: not there; baseline.%s is left out", infrared / name, name)
    for name, answer in fit_baselines(load_scenes(triptychs, "train")).items():
        pictures[name] = [answer(scene) for scene in scenes]
    return pictures


def score_pictures(
    pictures: Sequence[Gray], scenes: Sequence[Scene], perceptual: PerceptualDistance
) -> Scores:
    """PSNR (dB), SSIM, perceptual distance and L1 of each picture against its scene's truth.

    Single channel, native resolution, no resize. The perceptual distance sees the picture as
    three equal channels.
    """
    scores: Scores = {"psnr": [], "ssim": [], perceptual.key: [], "l1": []}
    for picture, scene in zip(pictures, scenes, strict=True):
        image, truth = to_unit(picture), to_unit(scene.infrared)
        scores["psnr"].append(psnr(image, truth))
        scores["ssim"].append(ssim(image, truth))
        scores["l1"].append(l1(image, truth))
    gray = [[np.repeat(x[..., None], 3, -1) for x in group] for group in (
        pictures, [scene.infrared for scene in scenes]
    )]  # fmt: skip
    scores[perceptual.key] = perceptual(*gray)
    return scores


def evaluate_infrared(
    triptychs: Path, infrared: Path, perceptual: PerceptualDistance
) -> InfraredEvaluation:
    """Score every variant on the test scenes that have a truth; empty where none has."""
    scenes = load_scenes(triptychs, "test")
    if not scenes:
        return InfraredEvaluation([])
    pictures = collect_pictures(triptychs, infrared, scenes)
    progress = tqdm(pictures.items(), desc="infrared metrics", unit="variant")
    scores = {name: score_pictures(made, scenes, perceptual) for name, made in progress}
    return InfraredEvaluation(scenes, pictures, scores)


def infrared_metrics(result: InfraredEvaluation, interval: Interval) -> Tree:
    """The metrics tree: the run's means, `day.` and `night.` apart, and each `baseline.`.

    A baseline also holds `gain_psnr`: the mean paired difference run minus baseline, in dB.
    """
    tree: Tree = {"count": len(result.scenes)}
    if not result.scenes:
        return tree
    run = result.scores[RUN]
    _put_scores(tree, "", run, interval)
    groups = {name: _of_daytime(result.scenes, name) for name in DAYTIMES}
    for name, members in groups.items():
        if members:
            put(tree, f"{name}.count", len(members))
            _put_scores(tree, f"{name}.", _subset(run, members), interval)
    for variant, scores in result.scores.items():
        if variant == RUN:
            continue
        above = f"baseline.{variant}."
        _put_scores(tree, above, scores, interval)
        gains = np.subtract(run["psnr"], scores["psnr"]).tolist()
        put_interval(tree, f"{above}gain_psnr", interval(gains))
        for name, members in groups.items():
            for metric in ("psnr", "ssim"):
                chosen = interval([scores[metric][i] for i in members])
                if chosen is not None:
                    put(tree, f"{above}{name}.{metric}", chosen.mean)
    return tree


def _put_scores(tree: Tree, above: str, scores: Mapping[str, list[float]], mean: Interval) -> None:
    for metric, values in scores.items():
        put_interval(tree, above + metric, mean(values))


def _of_daytime(scenes: Sequence[Scene], name: str) -> list[int]:
    return [i for i, scene in enumerate(scenes) if scene.daytime == name]


def _subset(scores: Scores, members: Sequence[int]) -> Scores:
    return {metric: [values[i] for i in members] for metric, values in scores.items()}


def infrared_rows(result: InfraredEvaluation) -> list[tuple[object, ...]]:
    """Long-format rows: item, daytime, variant, metric, value."""
    return [
        (scene.id, scene.daytime, variant, metric, values[i])
        for variant, scores in result.scores.items()
        for metric, values in scores.items()
        for i, scene in enumerate(result.scenes)
    ]
