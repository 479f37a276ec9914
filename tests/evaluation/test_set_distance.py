from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from refract.evaluation.measures.set_distance import (
    ClipImageFeatures,
    frechet_distance,
    set_distances,
)
from refract.models.clip import ClipModel, load_clip
from tests.tiny.clip import write_tiny_clip


@dataclass(frozen=True)
class FirstPixel:
    """Features anyone can check: the colour of the first pixel."""

    key: str = "frechet_pixel"
    about: str = "first pixels"
    dimension: int = 3

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([image[0, 0].astype(np.float64) for image in images])


def _images(seed: int, count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8))


def test_each_variant_is_held_against_the_truths() -> None:
    truths, other = _images(0, 9), _images(1, 9)
    found = set_distances({"same": truths[::-1], "other": other}, truths, FirstPixel())
    assert found.key == "frechet_pixel"
    assert found.values["same"] == pytest.approx(0, abs=1e-9), "which picture is which is not asked"
    expected = frechet_distance(FirstPixel()(other), FirstPixel()(truths))
    assert found.values["other"] == pytest.approx(expected)
    assert found.about == "first pixels; 9 images, fewer than 2048: biased upwards"


def test_no_more_images_than_features_give_no_figure_and_say_so() -> None:
    found = set_distances({"run": _images(0, 3)}, _images(1, 3), FirstPixel())
    assert found.values == {}
    assert "left out: 3 images, must be more than its 3 features" in found.about


def test_embeddings_of_a_clip_serve_and_it_loads_only_where_there_are_enough(
    tmp_path: Path,
) -> None:
    clip = load_clip(str(write_tiny_clip(tmp_path)), None, torch.device("cpu"))
    loads: list[int] = []

    def load() -> ClipModel:
        loads.append(1)
        return clip

    features = ClipImageFeatures(load, "frechet_clip_micro", "tiny", clip.dimension)
    assert not set_distances({"run": _images(1, 16)}, _images(0, 16), features).values
    assert not loads
    images = _images(0, 20)
    assert features(images).shape == (20, features.dimension) == (20, 16)
    found = set_distances({"run": _images(1, 20)}, images, features)
    assert 0 < found.values["run"] < 4
