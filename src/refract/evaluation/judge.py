"""What the evaluation measures with: models, intervals and the choices that change a figure."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from refract.evaluation.measures.bootstrap import MeanInterval, Resampling, mean_interval
from refract.evaluation.measures.metrics_file import Tree
from refract.evaluation.measures.motion import TRACK_METHOD
from refract.evaluation.measures.optical_flow import FLOW_METHOD
from refract.evaluation.measures.perceptual import NO_LPIPS, Lpips, choose_lpips
from refract.evaluation.measures.set_distance import ImageFeatures, choose_features
from refract.models.clip import ClipModel, load_clip
from refract.models.dino import DinoModel, load_dino
from refract.models.identity import model_identity
from refract.params.evaluate import Evaluate
from refract.pipeline.device import pick_device

logger = logging.getLogger(__name__)

_CLIP_KINDS = {
    "clip": "an architecture that open_clip publishes",
    "clip_micro": "an architecture of this project's own; compares with no published CLIP-I",
}
_DIGEST_CHARACTERS = 24  # of the identity, enough to tell weights apart in a small file


@dataclass(frozen=True)
class Judge:
    """Models and settings both halves are measured with; the names say which weights they were."""

    clip: ClipModel
    clip_name: str
    lpips: Lpips | None  # None where AlexNet's weights are not at hand
    features: ImageFeatures  # of sets of infrared pictures
    params: Evaluate
    seed: int
    dino: DinoModel | None = None
    dino_name: str | None = None

    def interval(self, values: Sequence[float]) -> MeanInterval | None:
        """Mean over items with its bootstrap interval; None without any."""
        return mean_interval(values, self.resampling)

    @property
    def resampling(self) -> Resampling:
        return Resampling(self.params.bootstrap, self.seed)

    def about(self) -> Tree:
        """What a reader of the metrics must know to compare them with others."""
        return {
            "clip_model": self.clip_name,
            "lpips": NO_LPIPS if self.lpips is None else self.lpips.about,
            "intervals": f"95 % percentile bootstrap over items, {self.params.bootstrap} resamples",
        }

    def about_edits(self) -> Tree:
        """The same for the editing half, with what it alone is measured by."""
        return self.about() | {
            "clip_key": f"{self.clip.key}: {_CLIP_KINDS[self.clip.key]}",
            "dino_model": self.dino_name,
            "optical_flow": FLOW_METHOD,
            "tracks": TRACK_METHOD,
        }


def load_judge(params: Evaluate, seed: int) -> Judge:
    """Load the models that the settings name.

    Raises InputError: a model or weights file that is missing or does not fit.
    """
    device = torch.device(pick_device())
    clip = load_clip(params.clip_model, params.clip_revision, device)
    name = _name(params.clip_model, params.clip_revision)
    logger.info("clip: %s on %s, float32, measures named %s_*", name, device, clip.key)
    lpips = choose_lpips(params.lpips_weights, device)
    features = choose_features(params.inception_weights, clip, name)
    if params.dino_model is None:
        return Judge(clip, name, lpips, features, params, seed)
    dino = load_dino(params.dino_model, params.dino_revision, device)
    dino_name = _name(params.dino_model, params.dino_revision)
    logger.info("dino: %s on %s, float32", dino_name, device)
    return Judge(clip, name, lpips, features, params, seed, dino, dino_name)


def _name(path_or_id: str, revision: str | None) -> str:
    return f"{path_or_id} ({model_identity(path_or_id, revision)[:_DIGEST_CHARACTERS]})"
