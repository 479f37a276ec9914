"""What the evaluation measures with: models, intervals and the choices that change a figure."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from refract.bootstrap import MeanInterval, mean_interval
from refract.clip_model import ClipModel, load_clip
from refract.device import pick_device
from refract.metrics_file import Tree
from refract.model_identity import model_identity
from refract.params.evaluate import Evaluate
from refract.perceptual import PerceptualDistance, choose_perceptual

logger = logging.getLogger(__name__)

_DIGEST_CHARACTERS = 24  # of the identity, enough to tell weights apart in a small file


@dataclass(frozen=True)
class Judge:
    """Models and settings both halves are measured with; `clip_name` says which CLIP it was."""

    clip: ClipModel
    clip_name: str
    perceptual: PerceptualDistance
    params: Evaluate
    seed: int

    def interval(self, values: Sequence[float]) -> MeanInterval | None:
        """Mean over items with its bootstrap interval; None without any."""
        return mean_interval(values, resamples=self.params.bootstrap, seed=self.seed)

    def about(self) -> Tree:
        """What a reader of the metrics must know to compare them with others."""
        return {
            "clip_model": self.clip_name,
            "perceptual": self.perceptual.about,
            "intervals": f"95 % percentile bootstrap over items, {self.params.bootstrap} resamples",
        }


def load_judge(params: Evaluate, seed: int) -> Judge:
    """Load the CLIP once, for the similarity and, without LPIPS weights, the perceptual distance.

    Raises:
        InputError: a model or weights file that is missing or does not fit.
    """
    device = torch.device(pick_device())
    clip = load_clip(params.clip_model, params.clip_revision, device)
    identity = model_identity(params.clip_model, params.clip_revision)[:_DIGEST_CHARACTERS]
    name = f"{params.clip_model} ({identity})"
    logger.info("clip: %s on %s, float32", name, device)
    perceptual = choose_perceptual(params.lpips_weights, clip, name)
    return Judge(clip, name, perceptual, params, seed)
